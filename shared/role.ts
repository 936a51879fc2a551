/** A started role: what it says about itself, and how it ends. */
export interface Running {
  /** Facts for the person who started it, such as `url` for the HTTP functions. */
  readonly about: Readonly<Record<string, string>>
  /** Finishes what is under way, then lets go of every socket and timer. Safe to call twice. */
  stop(): Promise<void>
}

/** The part of a pino logger that the product uses; pino's own type satisfies it. */
export interface Logger {
  trace(fields: object, message: string): void
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  /** A logger that adds these fields to each line. */
  child(fields: object): Logger
}
