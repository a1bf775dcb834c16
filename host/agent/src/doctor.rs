//! How the node's networks are, for managers that ask: what should be there, what is, and
//! why, where there is nothing.

use swarmw_model::{NetFindings, NetSilence, PortProtocol, UserPort};
use swarmw_network::PublishedPorts;
use swarmw_overlay::{DataPath, Silent};
use swarmw_proto::{Allowed, pb, require, wire};
use tonic::{Request, Response, Status};

use crate::agent::AgentConfig;
use crate::net::{KernelPorts, Networks, network_driver};
use crate::store::Store;

/// Why a node joins no networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unable {
    /// No engine was found, or wanted.
    NoEngine,
    /// What its daemon needs for them was not there when it began.
    Lacks,
    /// It was, and they could not be begun.
    Failed(String),
}

/// Looks at all that a node has of networks. It mends nothing.
#[derive(Clone)]
pub(crate) struct Examiner {
    /// Or why there are none.
    pub(crate) networks: Result<Networks, Unable>,
    /// Or why published ports are in user space.
    pub(crate) kernel_ports: Result<KernelPorts, String>,
    pub(crate) ports: PublishedPorts,
    pub(crate) store: Store,
}

/// Answers managers that ask how this node's networks are.
#[derive(Clone)]
pub struct DoctorService {
    pub(crate) examiner: Examiner,
}

// === impl Unable ===

impl Unable {
    /// What a node is not able to, as it was configured.
    pub(crate) fn of(config: &AgentConfig) -> Self {
        match (&config.engine, &config.network_driver) {
            (None, _) => Self::NoEngine,
            (Some(_), None) => Self::Lacks,
            (Some(_), Some(_)) => Self::Failed("its engine's networks are not known".to_owned()),
        }
    }

    /// In a sentence, as it is now.
    async fn told(&self) -> String {
        match self {
            Self::NoEngine => "no Docker engine: it runs components alone".to_owned(),
            Self::Failed(why) => why.clone(),
            Self::Lacks => match network_driver().await {
                Err(why) => why,
                Ok(_) => "what overlay networks need was not there when the daemon began, and is \
                          now: restart the daemon (tasks go on)"
                    .to_owned(),
            },
        }
    }
}

// === impl Examiner ===

impl Examiner {
    async fn examine(&self) -> NetFindings {
        let ((mut findings, by_networks), (ports, by_ports)) =
            tokio::join!(self.networks(), self.ports());
        findings.join(ports);
        findings.silent = silent(&by_networks, &by_ports);
        findings.answers = by_networks.answers.union(&by_ports.answers).copied().collect();
        let unused = self.kernel_ports.as_ref().map_or(true, KernelPorts::is_unused);
        if let Ok(networks) = &self.networks
            && findings.networks == 0
            && unused
            && let Some(port) = networks.taken_data_port()
        {
            findings.notes.push(format!(
                "UDP port {port} is in use, and not by this cluster: its networks can come here \
                 only if that is another VXLAN, with other numbers (see `ss -ulnp` and `ip -d \
                 link show type vxlan`)"
            ));
        }
        findings.bounded()
    }

    async fn networks(&self) -> (NetFindings, DataPath) {
        match &self.networks {
            Ok(networks) => networks.examine().await,
            Err(why) => {
                let unable = why.told().await;
                (NetFindings { unable, ..NetFindings::default() }, DataPath::default())
            }
        }
    }

    async fn ports(&self) -> (NetFindings, DataPath) {
        let (mut findings, path) = match &self.kernel_ports {
            Ok(kernel) => kernel.examine().await,
            Err(why) => {
                let user_ports = self.all_in_user_space(why);
                (NetFindings { user_ports, ..NetFindings::default() }, DataPath::default())
            }
        };
        for error in self.ports.errors() {
            let in_kernel = self.kernel_ports.as_ref().is_ok_and(|kernel| kernel.serves(&error));
            // Nobody listens there, and nobody needs to.
            if in_kernel && error.protocol == PortProtocol::Sctp {
                continue;
            }
            let port = format!("{}/{}", error.port, error.protocol);
            match in_kernel {
                true => findings.notes.push(format!(
                    "port {port} is another program's for what kernels do not lead to, [::1] for \
                     one: {}",
                    error.reason
                )),
                false => findings.differ(
                    format!("port {port} cannot be published here: {}", error.reason),
                    "stop the program that has it (see `ss -lnp`); it is tried again every 2 s",
                ),
            }
        }
        (findings, path)
    }

    fn all_in_user_space(&self, why: &str) -> Vec<UserPort> {
        let listed = self.store.ports();
        let port = |port: &swarmw_model::PublishedPort| UserPort {
            port: format!("{}/{}", port.published, port.protocol),
            why: why.to_owned(),
        };
        listed.iter().map(port).collect()
    }
}

/// Of whom nothing came back: all networks of a node are on one port of UDP, so whoever
/// answered by one way is not kept away by a firewall.
fn silent(by_networks: &DataPath, by_ports: &DataPath) -> Vec<NetSilence> {
    let mut silent = by_ports.silent.clone();
    silent.extend(&by_networks.silent);
    silent.retain(|number, _| ![by_networks, by_ports].iter().any(|by| by.heard.contains(number)));
    let told = |(number, Silent { address, port, vni })| NetSilence { number, address, port, vni };
    silent.into_iter().map(told).collect()
}

// === impl DoctorService ===

#[tonic::async_trait]
impl pb::doctor_server::Doctor for DoctorService {
    async fn examine(
        &self,
        request: Request<pb::ExamineRequest>,
    ) -> Result<Response<pb::ExamineReply>, Status> {
        require(&request, Allowed::Manager)?;
        let findings = wire::encode(&self.examiner.examine().await);
        Ok(Response::new(pb::ExamineReply { findings }))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn who_answers_by_one_way_is_not_silent_by_another() {
        let path = |heard: &[u16], silent: &[u16], vni| {
            let of = |number: &u16| {
                let address = IpAddr::from([192, 168, 9, number.to_be_bytes()[1]]);
                (*number, Silent { address, port: 4789, vni })
            };
            DataPath {
                heard: heard.iter().copied().collect(),
                silent: silent.iter().map(of).collect(),
                answers: [vni].into(),
            }
        };
        let (networks, ports) = (path(&[2], &[3, 4], 4097), path(&[3], &[2, 4, 5], 4096));
        let silent = silent(&networks, &ports);
        let told: Vec<_> = silent.iter().map(|silence| (silence.number, silence.vni)).collect();
        assert_eq!(told, [(4, 4097), (5, 4096)]);
    }

    #[tokio::test]
    async fn a_node_without_an_engine_says_so() {
        let told = Unable::NoEngine.told().await;
        assert!(told.contains("no Docker engine"), "{told}");
        let told = Unable::Failed("the driver's socket is another daemon's".to_owned());
        assert_eq!(told.told().await, "the driver's socket is another daemon's");
    }
}
