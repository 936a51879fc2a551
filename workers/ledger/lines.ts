/**
 * Writes fields as one argument of a script: thousands of arguments cost more than what is done with them. None may hold a
 * line feed; JSON never does.
 */
export function joinLines(fields: readonly (string | number)[]): string {
  return `${fields.join('\n')}\n`
}

/** The other end of `joinLines`, for scripts. */
export const splitLines = `
local function splitLines(text)
  local fields, from = {}, 1
  while from <= #text do
    local to = string.find(text, '\\n', from, true)
    fields[#fields + 1] = string.sub(text, from, to - 1)
    from = to + 1
  end
  return fields
end
`
