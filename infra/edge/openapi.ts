// Stands for what describes the API: the Worker serves the description as a file, which write-assets.ts has the app write.

const nothing = () => undefined

export class OpenAPIRegistry {
  readonly definitions = []
  readonly registerPath = nothing
  readonly registerComponent = nothing
}

class NoGenerator {
  generateDocument(): never {
    throw new Error('the Worker serves its description as a file')
  }
}

export { NoGenerator as OpenApiGeneratorV3, NoGenerator as OpenApiGeneratorV31 }

export const getOpenApiMetadata = () => ({})

/** Schemas keep their notes, and nobody reads them. */
export function extendZodWithOpenApi({ ZodType }: { ZodType: { prototype: { openapi?: unknown } } }): void {
  ZodType.prototype.openapi = function <Self>(this: Self): Self {
    return this
  }
}
