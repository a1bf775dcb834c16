//! News in parts that fit a message.

use swarmw_model::NetworkNews;
use swarmw_proto::wire;

/// One part holds about so much, or one entry: a quarter of the largest message.
const PART_BYTES: usize = 1 << 20;

/// Cuts news into parts; at least one.
pub(crate) fn parts(news: NetworkNews) -> Vec<NetworkNews> {
    of_bytes(news, PART_BYTES)
}

fn of_bytes(mut news: NetworkNews, bytes: usize) -> Vec<NetworkNews> {
    let mut parts = Vec::new();
    let mut next = NetworkNews {
        complete: news.complete,
        data_path_port: news.data_path_port,
        ..NetworkNews::default()
    };
    let mut room = bytes;
    macro_rules! cut {
        ($($field:ident)*) => {$(
            for entry in std::mem::take(&mut news.$field) {
                let size = wire::size(&entry);
                // A part is never empty: an entry that is larger is a part of its own.
                if size > room && room < bytes {
                    next.more = true;
                    parts.push(std::mem::take(&mut next));
                    room = bytes;
                }
                next.$field.push(entry);
                room = room.saturating_sub(size);
            }
        )*};
    }
    cut! { networks remove_networks peers remove_peers services remove_services endpoints remove_endpoints }
    parts.push(next);
    parts
}

#[cfg(test)]
mod tests {
    use swarmw_model::{AttachmentId, EndpointId, NetworkEndpoint, NetworkId, NodeId};

    use super::*;

    fn endpoint(n: u128, names: usize) -> NetworkEndpoint {
        NetworkEndpoint {
            id: EndpointId::Attachment(AttachmentId::from_bits(n)),
            service: None,
            names: vec!["n".repeat(255); names],
            node: NodeId::from_bits(1),
            on: Vec::new(),
            serves: false,
            user_space: false,
        }
    }

    #[test]
    fn news_that_are_cut_are_the_same_once_joined() {
        let news = NetworkNews {
            complete: true,
            data_path_port: 4789,
            remove_networks: (0..3).map(NetworkId::from_bits).collect(),
            endpoints: (0..8).map(|n| endpoint(n, 0)).collect(),
            ..NetworkNews::default()
        };
        for bytes in [1, 200, 500, 1 << 20] {
            let parts = of_bytes(news.clone(), bytes);
            let more: Vec<_> = parts.iter().map(|part| part.more).collect();
            assert_eq!(more.iter().filter(|more| !**more).count(), 1, "only the last is the last");
            let mut joined = parts[0].clone();
            parts.into_iter().skip(1).for_each(|part| joined.join(part));
            assert_eq!(joined, news, "{bytes}");
        }
        assert_eq!(of_bytes(news.clone(), 1).len(), 11, "each holds one at least");
        assert_eq!(of_bytes(news, 1 << 20).len(), 1);
        assert_eq!(parts(NetworkNews::default()), [NetworkNews::default()]);
    }

    #[test]
    fn no_part_is_too_large_for_a_message() {
        let endpoints = (0..1_000).map(|n| endpoint(n, 16)).collect();
        let parts = parts(NetworkNews { endpoints, ..NetworkNews::default() });
        assert!(parts.len() > 1);
        let sizes: Vec<_> = parts.iter().map(|part| wire::encode(part).len()).collect();
        assert!(sizes.iter().all(|size| *size < PART_BYTES + (1 << 16)), "{sizes:?}");
    }
}
