//! Devices and backend-specific operations of burn-ssl: the only crate that names a backend
