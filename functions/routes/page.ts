import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { RelayError } from '../../shared/errors.ts'
import type { AppEnv } from '../deps.ts'
import { describeProblems } from '../schemas/common.ts'

/** The names of the page's files, in functions/page/, and their types. */
export const pageTypes = {
  'index.html': 'text/html; charset=utf-8',
  'page.css': 'text/css; charset=utf-8',
  'page.js': 'text/javascript; charset=utf-8',
  'icon.svg': 'image/svg+xml',
} as const

export type PageFile = keyof typeof pageTypes

/** The page's files as texts: how they are read depends on the runtime. */
export type PageFiles = Readonly<Record<PageFile, string>>

const text = { schema: z.string() }

const indexRoute = createRoute({
  method: 'get',
  path: '/',
  operationId: 'getPage',
  security: [],
  summary: 'A page that shows the stream live',
  tags: ['page'],
  responses: { 200: { description: 'The page.', content: { 'text/html': text } }, ...describeProblems(404) },
})

const fileRoute = createRoute({
  method: 'get',
  path: '/page/{file}',
  operationId: 'getPageFile',
  security: [],
  summary: "The page's style, script and icon",
  tags: ['page'],
  request: { params: z.object({ file: z.string() }) },
  responses: {
    200: { description: 'The file.', content: { 'text/css': text, 'text/javascript': text, 'image/svg+xml': text } },
    ...describeProblems(404),
  },
})

/** `/`, and what it needs. */
export function mountPage(app: OpenAPIHono<AppEnv>, files: PageFiles | undefined): void {
  const read = (name: string): Response => {
    if (files === undefined || !isPageFile(name)) throw new RelayError('not_found', `There is no file ${name}.`)
    return new Response(files[name], { headers: { 'content-type': pageTypes[name], 'cache-control': 'no-cache' } })
  }
  app.openapi(indexRoute, () => read('index.html'))
  app.openapi(fileRoute, (c) => read(c.req.valid('param').file))
}

function isPageFile(name: string): name is PageFile {
  return Object.hasOwn(pageTypes, name)
}
