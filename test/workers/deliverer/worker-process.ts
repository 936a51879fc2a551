import { createStage } from './stage.ts'

// A dispatcher and a deliverer in a process of their own, to be killed by a test.
const [url = '', cluster = ''] = process.argv.slice(2)
const stage = await createStage(url, cluster)
stage.dispatcher({ leaseMs: 500 })
stage.deliverer({ lockDuration: 1000, schedule: [0, 50, 50, 50, 50] })
console.log('ready')
