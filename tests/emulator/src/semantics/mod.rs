//! What instructions compute: pure functions, no machine.
