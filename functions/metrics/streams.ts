import { type StreamCount, type StreamCounts, streamKinds } from '../streams/counts.ts'
import type { Family } from './exposition.ts'

/** How streams of this process do, by how they are read. */
export function measureStreams(counts: StreamCounts, open: number): Family[] {
  const byKind = (name: keyof StreamCount) =>
    streamKinds.map((kind) => ({ labels: { kind }, value: counts[kind][name] }))
  return [
    {
      name: 'relay_streams',
      type: 'gauge',
      help: 'Open streams of this process.',
      samples: [{ value: open }],
    },
    {
      name: 'relay_streams_opened_total',
      type: 'counter',
      help: 'Streams that this process opened.',
      samples: byKind('opened'),
    },
    {
      name: 'relay_streams_sent_bytes_total',
      type: 'counter',
      help: 'What this process handed to connections of streams, before TLS.',
      samples: byKind('bytes'),
    },
    {
      name: 'relay_streams_cut_total',
      type: 'counter',
      help: 'Streams whose connection this process closed: the reader took nothing for too long, or nothing could be read for it.',
      samples: (['slow', 'failed'] as const).flatMap((reason) =>
        byKind(reason).map(({ labels, value }) => ({ labels: { ...labels, reason }, value })),
      ),
    },
  ]
}
