// Stands for ioredis as a whole: its client of one server.
exports.Redis = require('ioredis/built/Redis.js').default
