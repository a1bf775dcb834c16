//! Traffic of published ports: to tasks here, and through the other nodes' agents
//! to tasks there. What goes to an address of a network takes the same tunnels
//! ([`crate::forward`]).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use swarmw_model::{Backend, NodeId, PortProtocol, TaskId};
use swarmw_network::{Datagrams, Reach, Stream};
use swarmw_proto::{Allowed, Channels, pb, require};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::StreamReader;
use tonic::{Request, Response, Status, Streaming};

use crate::forward::Forward;
use crate::worker::Worker;

/// Frames on their way in one direction.
const FRAMES_IN_FLIGHT: usize = 16;
/// Bytes of a stream in one frame.
const FRAME_BYTES: usize = 16 << 10;
/// The largest datagram.
const DATAGRAM_MAX: usize = 65_535;

/// Reaches tasks directly where they are here, else through their node's agent.
pub(crate) struct NodeReach {
    pub(crate) own: NodeId,
    pub(crate) worker: Worker,
    pub(crate) channels: Channels,
}

/// Answers other nodes' agents: forwards their traffic to tasks here.
#[derive(Clone)]
pub struct TunnelService {
    pub(crate) worker: Worker,
    pub(crate) forward: Forward,
}

async fn local(
    worker: &Worker,
    task: TaskId,
    port: u16,
    protocol: PortProtocol,
) -> io::Result<SocketAddr> {
    let missing = || io::Error::other(format!("task {task} does not serve {port}/{protocol} here"));
    let (_, executor) = worker.find(task).ok_or_else(missing)?;
    executor.address(task, port, protocol).await.ok_or_else(missing)
}

async fn local_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr =
        if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}

// === impl NodeReach ===

impl NodeReach {
    async fn tcp_stream(&self, backend: Backend, port: u16) -> io::Result<Box<dyn Stream>> {
        if backend.node == self.own {
            let address = local(&self.worker, backend.task, port, PortProtocol::Tcp).await?;
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            return Ok(Box::new(stream));
        }
        let tunnel = self.open(&backend, port, PortProtocol::Tcp).await?;
        Ok(Box::new(stream(tunnel)))
    }

    async fn udp_session(&self, backend: Backend, port: u16) -> io::Result<Box<dyn Datagrams>> {
        if backend.node == self.own {
            let address = local(&self.worker, backend.task, port, PortProtocol::Udp).await?;
            return Ok(Box::new(LocalDatagrams(local_udp(address).await?)));
        }
        let (frames, answers) = self.open(&backend, port, PortProtocol::Udp).await?;
        Ok(Box::new(TunnelDatagrams { frames, answers: Mutex::new(answers) }))
    }

    /// Opens a tunnel and waits until the other end has reached the task.
    async fn open(
        &self,
        backend: &Backend,
        port: u16,
        protocol: PortProtocol,
    ) -> io::Result<Tunnel> {
        let first = pb::TunnelFrame {
            task: backend.task.to_string(),
            target_port: u32::from(port),
            protocol: protocol.to_string(),
            ..Default::default()
        };
        open(&self.channels, &backend.address, first).await.map_err(io::Error::other)
    }
}

/// Frames to the other end, and from there.
pub(crate) type Tunnel = (mpsc::Sender<pb::TunnelFrame>, Streaming<pb::TunnelFrame>);

/// Opens a tunnel to where the first frame says, by the agent that listens at an address,
/// and waits until that one has got there.
pub(crate) async fn open(
    channels: &Channels,
    agent: &str,
    first: pb::TunnelFrame,
) -> Result<Tunnel, Status> {
    let channel = channels.get(agent)?;
    let (frames, outgoing) = mpsc::channel(FRAMES_IN_FLIGHT);
    frames.send(first).await.map_err(|_| Status::cancelled("the tunnel ends"))?;
    let mut client = pb::tunnel_client::TunnelClient::new(channel);
    let answers = client.open(ReceiverStream::new(outgoing)).await?;
    Ok((frames, answers.into_inner()))
}

/// A tunnel as a stream: what is written goes out as frames, what comes is read.
pub(crate) fn stream((frames, answers): Tunnel) -> DuplexStream {
    let (near, far) = duplex(4 * FRAME_BYTES);
    tokio::spawn(carry(far, frames, answers));
    near
}

impl Reach for NodeReach {
    fn tcp(&self, backend: Backend, port: u16) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        self.tcp_stream(backend, port).boxed()
    }

    fn udp(&self, backend: Backend, port: u16) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>> {
        self.udp_session(backend, port).boxed()
    }
}

/// Bytes of one stream, both ways, until both have ended.
async fn carry(
    stream: DuplexStream,
    frames: mpsc::Sender<pb::TunnelFrame>,
    answers: Streaming<pb::TunnelFrame>,
) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let out = async move {
        let mut buffer = vec![0; FRAME_BYTES];
        while let Ok(size @ 1..) = reader.read(&mut buffer).await {
            let frame = pb::TunnelFrame { data: buffer[..size].to_vec(), ..Default::default() };
            if frames.send(frame).await.is_err() {
                return;
            }
        }
    };
    let back = async move {
        let bytes = answers.map_ok(|frame| Bytes::from(frame.data)).map_err(io::Error::other);
        let mut bytes = StreamReader::new(bytes);
        // The other side may end it at any time.
        let _ = tokio::io::copy_buf(&mut bytes, &mut writer).await;
        let _ = writer.shutdown().await;
    };
    tokio::join!(out, back);
}

struct LocalDatagrams(UdpSocket);

impl Datagrams for LocalDatagrams {
    fn send<'a>(&'a self, datagram: &'a [u8]) -> BoxFuture<'a, io::Result<()>> {
        async move { self.0.send(datagram).await.map(drop) }.boxed()
    }

    fn receive(&self) -> BoxFuture<'_, io::Result<Vec<u8>>> {
        async move {
            let mut buffer = vec![0; DATAGRAM_MAX];
            let size = self.0.recv(&mut buffer).await?;
            buffer.truncate(size);
            Ok(buffer)
        }
        .boxed()
    }
}

struct TunnelDatagrams {
    frames: mpsc::Sender<pb::TunnelFrame>,
    answers: Mutex<Streaming<pb::TunnelFrame>>,
}

impl Datagrams for TunnelDatagrams {
    fn send<'a>(&'a self, datagram: &'a [u8]) -> BoxFuture<'a, io::Result<()>> {
        let frame = pb::TunnelFrame { data: datagram.to_vec(), ..Default::default() };
        async move { self.frames.send(frame).await.map_err(io::Error::other) }.boxed()
    }

    fn receive(&self) -> BoxFuture<'_, io::Result<Vec<u8>>> {
        async move {
            let frame = self.answers.lock().await.message().await.map_err(io::Error::other)?;
            frame.map(|frame| frame.data).ok_or_else(|| io::Error::other("the tunnel has ended"))
        }
        .boxed()
    }
}

// === impl TunnelService ===

#[tonic::async_trait]
impl pb::tunnel_server::Tunnel for TunnelService {
    type OpenStream = BoxStream<'static, Result<pb::TunnelFrame, Status>>;

    async fn open(
        &self,
        request: Request<Streaming<pb::TunnelFrame>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        require(&request, Allowed::AnyNode)?;
        let mut incoming = request.into_inner();
        let first = incoming.message().await?;
        let first = first.ok_or_else(|| Status::invalid_argument("a tunnel without a task"))?;
        let (out, answers) = mpsc::channel(FRAMES_IN_FLIGHT);
        if !first.address.is_empty() {
            let (stream, place) = self.forward.arrive(&first).await?;
            tokio::spawn(async move {
                serve(stream, incoming, out).await;
                drop(place);
            });
            return Ok(Response::new(ReceiverStream::new(answers).boxed()));
        }
        let task = first.task.parse().map_err(|_| Status::invalid_argument("not a task"))?;
        let port =
            u16::try_from(first.target_port).map_err(|_| Status::invalid_argument("not a port"))?;
        let unreachable = |e: io::Error| Status::unavailable(e.to_string());
        if first.protocol == "udp" {
            let address =
                local(&self.worker, task, port, PortProtocol::Udp).await.map_err(unreachable)?;
            let socket = Arc::new(local_udp(address).await.map_err(unreachable)?);
            tokio::spawn(exchange(socket, incoming, out));
        } else {
            let address =
                local(&self.worker, task, port, PortProtocol::Tcp).await.map_err(unreachable)?;
            let stream = TcpStream::connect(address).await.map_err(unreachable)?;
            stream.set_nodelay(true).map_err(unreachable)?;
            tokio::spawn(serve(stream, incoming, out));
        }
        Ok(Response::new(ReceiverStream::new(answers).boxed()))
    }
}

async fn serve(
    stream: impl Stream,
    incoming: Streaming<pb::TunnelFrame>,
    out: mpsc::Sender<Result<pb::TunnelFrame, Status>>,
) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let to_task = async move {
        let bytes = incoming.map_ok(|frame| Bytes::from(frame.data)).map_err(io::Error::other);
        let mut bytes = StreamReader::new(bytes);
        let _ = tokio::io::copy_buf(&mut bytes, &mut writer).await;
        let _ = writer.shutdown().await;
    };
    let from_task = async move {
        let mut buffer = vec![0; FRAME_BYTES];
        while let Ok(size @ 1..) = reader.read(&mut buffer).await {
            let frame = pb::TunnelFrame { data: buffer[..size].to_vec(), ..Default::default() };
            if out.send(Ok(frame)).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(to_task, from_task);
}

async fn exchange(
    socket: Arc<UdpSocket>,
    mut incoming: Streaming<pb::TunnelFrame>,
    out: mpsc::Sender<Result<pb::TunnelFrame, Status>>,
) {
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        let moved = tokio::select! {
            frame = incoming.message() => match frame {
                Ok(Some(frame)) => socket.send(&frame.data).await.is_ok(),
                _ => false,
            },
            received = socket.recv(&mut buffer) => match received {
                Ok(size) => {
                    let data = buffer[..size].to_vec();
                    out.send(Ok(pb::TunnelFrame { data, ..Default::default() })).await.is_ok()
                }
                Err(_) => false,
            },
        };
        if !moved {
            return;
        }
    }
}
