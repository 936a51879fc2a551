import { createStage } from './stage.ts'

// A dispatcher and a deliverer in a process of their own, to be killed by a test.
const [url = '', cluster = ''] = process.argv.slice(2)
const stage = await createStage(url, cluster)
// Short, and still longer than a busy machine lets a process that lives wait.
stage.dispatcher({ leaseMs: 2000 })
stage.deliverer({ lockDuration: 3000, schedule: [0, 50, 50, 50, 50] })
console.log('ready')
