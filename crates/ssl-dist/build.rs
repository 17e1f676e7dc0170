//! Compiles the bridge to libtorch's c10d (feature `c10d`).

fn main() {
    println!("cargo:rerun-if-changed=native");
    #[cfg(feature = "c10d")]
    c10d();
}

/// Uses the headers next to the library that `torch-sys` found, so that their versions match.
#[cfg(feature = "c10d")]
fn c10d() {
    use std::env;
    use std::path::PathBuf;

    println!("cargo:rerun-if-env-changed=LIBTORCH_INCLUDE");
    println!("cargo:rerun-if-env-changed=LIBTORCH_CXX11_ABI");
    let library = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from);
    let beside_library = library.and_then(|path| path.parent().map(PathBuf::from));
    let root = env::var_os("LIBTORCH_INCLUDE").map(PathBuf::from).or(beside_library);
    let root = root.expect("torch-sys says where libtorch is, else LIBTORCH_INCLUDE has to");
    let abi = env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    let mut build = cc::Build::new();
    #[cfg(feature = "nccl")]
    {
        println!("cargo:rerun-if-env-changed=CUDA_INCLUDE");
        println!("cargo:rerun-if-env-changed=CUDA_HOME");
        let toolkit =
            env::var_os("CUDA_HOME").map_or_else(|| PathBuf::from("/usr/local/cuda"), PathBuf::from);
        let folders = env::var_os("CUDA_INCLUDE").unwrap_or_else(|| toolkit.join("include").into_os_string());
        build.includes(env::split_paths(&folders)).define("USE_C10D_NCCL", None).file("native/nccl.cpp");
    }
    build
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .include("native")
        .include(root.join("include"))
        .include(root.join("include/torch/csrc/api/include"))
        .define("_GLIBCXX_USE_CXX11_ABI", Some(abi.as_str()))
        .define("USE_DISTRIBUTED", None)
        .define("USE_C10D_GLOO", None)
        .file("native/c10d.cpp")
        .compile("ssl_c10d");
}
