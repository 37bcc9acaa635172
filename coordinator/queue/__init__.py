"""Who scores a batch: this process, or Celery workers behind Redis."""
