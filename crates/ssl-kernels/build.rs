//! Compiles the few libtorch functions that the `tch` crate does not expose (feature `tch`).

fn main() {
    println!("cargo:rerun-if-changed=native/libtorch.cpp");
    #[cfg(feature = "tch")]
    libtorch();
}

/// Uses the headers next to the library that `torch-sys` found, so that their versions match.
#[cfg(feature = "tch")]
fn libtorch() {
    use std::env;
    use std::path::PathBuf;

    println!("cargo:rerun-if-env-changed=LIBTORCH_INCLUDE");
    println!("cargo:rerun-if-env-changed=LIBTORCH_CXX11_ABI");
    let library = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from);
    let beside_library = library.and_then(|path| path.parent().map(PathBuf::from));
    let root = env::var_os("LIBTORCH_INCLUDE").map(PathBuf::from).or(beside_library);
    let root = root.expect("torch-sys says where libtorch is, else LIBTORCH_INCLUDE has to");
    let abi = env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .include(root.join("include"))
        .define("_GLIBCXX_USE_CXX11_ABI", Some(abi.as_str()))
        .file("native/libtorch.cpp")
        .compile("ssl_libtorch");
}
