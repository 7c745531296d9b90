from nat.data_models.span import Span
from nat.observability.processor.batching_processor import BatchingProcessor

batching = BatchingProcessor[Span](
    batch_size=100,
    flush_interval=5.0,
    max_queue_size=1000,
    drop_on_overflow=False,
    shutdown_timeout=10.0,
)
