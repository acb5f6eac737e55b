//! Compiles the C++ shim beside LibTorch, where torch-sys found it.

use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=src/shim.cpp");
    let Some(libraries) = std::env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) else {
        println!("cargo:error=torch-sys does not say where LibTorch is");
        return;
    };
    let include = libraries.with_file_name("include");
    cc::Build::new()
        .cpp(true)
        .std("c++20")
        .warnings(false)
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .file("src/shim.cpp")
        .compile("spinray_torch_shim");
}
