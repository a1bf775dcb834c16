//! Generates the node protocol from `proto/node.proto`, without a protoc binary.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto/node.proto");
    let descriptors = protox::compile(["node.proto"], ["proto"])?;
    // Bodies of answers, which may be of megabytes, go on as they come.
    tonic_prost_build::configure().bytes(".swarmw.node.v1.HttpChunk").compile_fds(descriptors)?;
    Ok(())
}
