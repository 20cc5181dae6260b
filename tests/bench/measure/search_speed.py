"""The k-NN of 10,000 queries in 100,000 entries, and faiss's exact search of the same arrays: CPU seconds of one thread.

OMP_NUM_THREADS=1 uv run python -m tests.bench.measure.search_speed knn 64                          width of the embeddings
OMP_NUM_THREADS=1 uv run --with faiss-cpu python -m tests.bench.measure.search_speed faiss 64

2,000 queries are searched three times for 20 neighbours, and the median is scaled to 10,000: faiss 1.15.1 takes longer for 671
of them than for 2,000.
"""

import os
import statistics
import sys
import time

import numpy as np

ENTRIES, QUERIES, ROUNDS, K = 100_000, 2_000, 3, 20


def clusters(generator, count, centres):
    """Unit vectors about 200 centres, float32."""
    points = centres[generator.integers(len(centres), size=count)] + 1.5 * generator.normal(
        size=(count, centres.shape[1])
    )
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def search(name, bank, queries):
    """What searches the queries in the bank."""
    if name == "faiss":
        import faiss

        faiss.omp_set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        index = faiss.IndexFlatIP(bank.shape[1])
        index.add(bank)
        return lambda: index.search(queries, K)
    import torch

    from bench.measure.classification import knn

    labels = torch.arange(ENTRIES) % 200
    bank, queries = torch.from_numpy(bank), torch.from_numpy(queries)
    return lambda: knn(bank, labels, queries, labels[:QUERIES], k=K)


def main(name, width):
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(200, width))
    call, seconds = search(name, clusters(generator, ENTRIES, centres), clusters(generator, QUERIES, centres)), []
    for _ in range(ROUNDS):
        start = time.process_time()
        call()
        seconds.append((time.process_time() - start) * 10_000 / QUERIES)
    print(f"{name}, {width} numbers: {statistics.median(seconds):.1f} s")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
