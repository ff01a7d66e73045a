//! Nothing: the tests are in `tests/front_door`, the benchmarks in `bench`.
