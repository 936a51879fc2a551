/** Something that only the person who started the process can put right. The message says how; the process exits with 2. */
export class SetupError extends Error {
  override readonly name = 'SetupError'
  readonly exitCode = 2
}
