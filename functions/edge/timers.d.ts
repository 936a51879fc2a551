// The standard takes undefined, and so do all runtimes; the platform's types only null.
declare function clearTimeout(timer: number | undefined): void
declare function clearInterval(timer: number | undefined): void
