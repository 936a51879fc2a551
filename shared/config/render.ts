import { type Config, findGiven, type Setting, type Source, settingList } from '../config.ts'

/** One setting as `relay config` shows it; secrets are masked. */
export interface ShownSetting {
  readonly name: string
  readonly flag: string
  readonly value: string | null
  readonly source: Source
  readonly default: string
  readonly allowed: string
  readonly meaning: string
}

export function showConfig(
  config: Config,
  env: Readonly<Record<string, string | undefined>>,
  flags: Readonly<Record<string, unknown>>,
): ShownSetting[] {
  return settingList.map(([key, setting]) => {
    const value = config[key]
    const written = value === undefined ? null : setting.write(value)
    return {
      name: setting.name,
      flag: `--${setting.flag}`,
      value: written === null ? null : (setting.mask?.(written) ?? written),
      source: findGiven(setting, env, flags).source,
      default: showDefault(setting),
      allowed: setting.allowed,
      meaning: setting.meaning,
    }
  })
}

/** A table for a terminal. */
export function renderConfig(shown: readonly ShownSetting[]): string {
  const rows = shown.map((row) => [row.name, row.value || '-', row.source, row.default, row.meaning])
  const table = [['NAME', 'VALUE', 'SOURCE', 'DEFAULT', 'MEANING'], ...rows]
  const widths = [0, 1, 2, 3].map((column) => Math.max(...table.map((row) => row[column]?.length ?? 0)))
  return table.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')).join('\n')
}

/** The README's table. */
export function renderMarkdown(): string {
  const rows = settingList.map(([, setting]) => {
    const cells = [`\`${setting.name}\``, `\`--${setting.flag}\``, setting.type, markDefault(setting), setting.meaning]
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  })
  return ['| Variable | Flag | Type | Default | Meaning |', '|---|---|---|---|---|', ...rows].join('\n')
}

/** What the help says about a flag. */
export function renderOption(setting: Setting<unknown>): string {
  return `${setting.meaning} [${setting.name}, default: ${showDefault(setting)}]`
}

function showDefault(setting: Setting<unknown>): string {
  return setting.defaultMeaning ?? (setting.default === undefined ? 'none' : setting.write(setting.default))
}

function markDefault(setting: Setting<unknown>): string {
  const shown = showDefault(setting)
  return setting.defaultMeaning === undefined ? `\`${shown}\`` : shown
}
