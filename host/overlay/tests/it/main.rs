//! Real kernels: machines that are network namespaces, joined by a bridge.

mod needs_root;
