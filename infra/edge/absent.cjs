// Stands for parts of libraries that the Worker never calls. Whatever is taken from it does nothing and answers nothing.
const nothing = () => undefined
module.exports = new Proxy(nothing, { get: (_, name) => (name === '__esModule' ? true : nothing) })
