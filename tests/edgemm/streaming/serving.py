"""Results through an outlet, to its end."""


def put(outlet, *results):
    for result in results:
        outlet.put(result)


def served(outlet):
    """Ends the outlet, and returns when all is delivered."""
    outlet.finish()
    assert outlet.wait(10), "the sinks were not served"
