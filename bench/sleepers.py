"""``python -m bench.sleepers --broker URL``: a worker of the tasks in :mod:`bench.sleeping_tasks`."""

from __future__ import annotations

import argparse
import sys

from services import logs
from services.metrics_server import serve_metrics
from services.wire.app import HARD_LIMIT_S, make_app
from services.wire.messages import QUEUES
from worker import metrics
from worker.launch import run_worker


def main() -> int:
    """Start a worker of sleepers; it ends as a real one does."""
    parser = argparse.ArgumentParser("python -m bench.sleepers", description="A worker that only sleeps.")
    parser.add_argument("--broker", required=True)
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--pictures", type=int, default=0, help="that a process says it has room for")
    parser.add_argument("--grace-s", type=float, default=20.0)
    parser.add_argument("--idle-s", type=float, help="leave after so many seconds without work")
    parser.add_argument("--metrics-port", type=int, help="where Prometheus may ask")
    parser.add_argument("--limit-s", type=float, default=HARD_LIMIT_S, help="hard time limit of a batch")
    parser.add_argument(
        "--threads", action="store_true", help="threads, not processes: sleep by the thousand"
    )
    parser.add_argument("--start-method", choices=("fork", "spawn"), default="fork")
    arguments = parser.parse_args()
    logs.setup("text", "INFO")
    app = make_app(
        arguments.broker, arguments.start_method, tasks=["bench.sleeping_tasks"], grace_s=arguments.grace_s
    )
    app.conf.task_time_limit = arguments.limit_s
    if arguments.threads:
        app.conf.worker_pool = "threads"
    if arguments.metrics_port is not None:
        serve_metrics(arguments.metrics_port, metrics.registry)
    queues, pictures, idle_s = list(QUEUES.values()), arguments.pictures, arguments.idle_s
    return run_worker(app, arguments.concurrency, queues, pictures=pictures, idle_s=idle_s)


if __name__ == "__main__":
    sys.exit(main())
