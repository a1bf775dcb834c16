//! Images on a node that has no Docker engine.

use std::net::SocketAddr;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use swarmw_model::{Assignment, PortProtocol, TaskId};

use crate::executor::{Executor, Exit, Found, Leaves, Started, TaskError};
use crate::logs::{LogOptions, LogStream};

/// Stands in for the Docker engine.
pub(crate) struct NoEngine;

fn refused<'a, T: Send + 'a>() -> BoxFuture<'a, Result<T, TaskError>> {
    ready(Err(TaskError("this node has no Docker engine to run an image with".to_owned()))).boxed()
}

impl Executor for NoEngine {
    fn find<'a>(&'a self, _: &'a Assignment) -> BoxFuture<'a, Result<Found, TaskError>> {
        ready(Ok(Found::Nothing)).boxed()
    }
    fn prepare<'a>(&'a self, _: &'a Assignment) -> BoxFuture<'a, Result<(), TaskError>> {
        refused()
    }
    fn start<'a>(&'a self, _: &'a Assignment) -> BoxFuture<'a, Result<Started, TaskError>> {
        refused()
    }
    fn wait<'a>(
        &'a self,
        _: &'a Assignment,
        _: &'a Leaves,
    ) -> BoxFuture<'a, Result<Exit, TaskError>> {
        refused()
    }
    fn stop<'a>(&'a self, _: &'a Assignment) -> BoxFuture<'a, Result<Exit, TaskError>> {
        ready(Ok(Exit::default())).boxed()
    }
    fn remove<'a>(&'a self, _: &'a Assignment) -> BoxFuture<'a, Result<(), TaskError>> {
        ready(Ok(())).boxed()
    }
    fn address(&self, _: TaskId, _: u16, _: PortProtocol) -> BoxFuture<'_, Option<SocketAddr>> {
        ready(None).boxed()
    }
    fn logs<'a>(
        &'a self,
        _: &'a Assignment,
        _: LogOptions,
    ) -> BoxFuture<'a, Result<LogStream, TaskError>> {
        refused()
    }
}
