// Sends two logs to the address in its argument with OpenTelemetry's own exporter, and ends once they are flushed.
import { ROOT_CONTEXT, TraceFlags, trace } from '@opentelemetry/api';
import { SeverityNumber } from '@opentelemetry/api-logs';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';

const exporter = new OTLPLogExporter({ url: process.argv[2], compression: 'gzip' });
const provider = new LoggerProvider({
  resource: resourceFromAttributes({ 'service.name': 'shop', 'process.pid': 7 }),
  processors: [new BatchLogRecordProcessor({ exporter })],
});
const logger = provider.getLogger('tests', '1');
const context = trace.setSpanContext(ROOT_CONTEXT, {
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  spanId: '00f067aa0ba902b7',
  traceFlags: TraceFlags.SAMPLED,
});
logger.emit({
  context,
  timestamp: [1725013845, 123456789],
  severityNumber: SeverityNumber.WARN2,
  severityText: 'odd',
  body: 'hello',
  attributes: { text: 'é', whole: 5, fraction: 0.5, truth: true, list: ['a', 'b'], map: { inner: [1, null] } },
});
logger.emit({
  timestamp: [1725013846, 0],
  severityNumber: SeverityNumber.ERROR,
  body: { a: new Uint8Array([255, 0]) },
  eventName: 'order.failed',
  exception: new TypeError('no such order'),
});
await provider.shutdown();
