//! Conformance-case reader, float64 oracles and tiny data for the tests of burn-ssl
