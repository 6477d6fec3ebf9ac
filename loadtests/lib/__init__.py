"""Parts that all load tests share: the server under load, connections, worker processes, latencies and reports."""
