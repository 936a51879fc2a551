// Stands for the table of all Redis commands. The relay names each command itself; ioredis has methods for those with which
// it begins a connection, and asks the table about keys for clusters only.
export const list = ['auth', 'client', 'hello', 'info', 'quit', 'readonly', 'select']

export const exists = () => false
export const hasFlag = () => false
export const getKeyIndexes = () => []
