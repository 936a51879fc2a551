import { config } from 'zod/v4'
import en from 'zod/v4/locales/en.js'

// Stands for `zod` in the Worker: handed over whole, that module takes every schema and locale along. What the functions
// begin to use has to be named in ./zod-parts.ts; without it the Worker does not start.
config(en())

export * as z from './zod-parts.ts'
