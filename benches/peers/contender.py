"""What takes part in a measurement: ours and every peer."""


class Contender:
    """Computes a product `[T, N]` in bf16.

    `kind` is the data that it takes: `block` (FP8, 1x128 and 128x128 scales), `row` (the same codes, one scale a row),
    `mx` (scales of 32) or `bf16`.
    """

    name = ""
    version = ""
    what = ""
    kind = ""
    # Whether it computes what the operation does. The others are context.
    same_operation = True

    def candidates(self, case, a, b):
        """Configurations to try; the fastest counts. None: the case is left out."""
        return [None]

    def prepare(self, case, a, b, output, candidate):
        """Everything that need not be timed. Returns a function that does one call and returns the output."""
        raise NotImplementedError

    def close(self):
        """Ends what `prepare` began."""


def by_rows(tables, case):
    """The configurations for the mean rows of a case: the first whose key is not smaller."""
    fits = lambda limit: limit is None or case.mean_rows <= limit
    return next(tiles for limit, tiles in tables.items() if fits(limit))
