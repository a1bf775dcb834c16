//! Kernel settings of the router.

/// A setting of `/proc/sys`, by its name for `sysctl`.
pub(crate) struct Setting {
    pub(crate) key: &'static str,
    pub(crate) value: &'static str,
}

const fn setting(key: &'static str, value: &'static str) -> Setting {
    Setting { key, value }
}

/// `all` is joined with a device's own, which begins as `default` is when the device is made.
pub(crate) const SETTINGS: [Setting; 24] = [
    setting("net.ipv6.conf.all.disable_ipv6", "0"),
    setting("net.ipv6.conf.default.disable_ipv6", "0"),
    setting("net.ipv4.ip_forward", "1"),
    setting("net.ipv6.conf.all.forwarding", "1"),
    setting("net.ipv6.conf.default.forwarding", "1"),
    // Who sends what is checked by nftables, for both families alike.
    setting("net.ipv4.conf.all.rp_filter", "0"),
    setting("net.ipv4.conf.default.rp_filter", "0"),
    // A router elsewhere reports errors with the gateway's address, which is ours, too.
    setting("net.ipv4.conf.all.accept_local", "1"),
    setting("net.ipv4.conf.default.accept_local", "1"),
    // A container that reaches itself by a virtual address is told no shorter way.
    setting("net.ipv4.conf.all.send_redirects", "0"),
    setting("net.ipv4.conf.default.send_redirects", "0"),
    setting("net.ipv4.conf.all.accept_redirects", "0"),
    setting("net.ipv4.conf.default.accept_redirects", "0"),
    setting("net.ipv6.conf.all.accept_redirects", "0"),
    setting("net.ipv6.conf.default.accept_redirects", "0"),
    setting("net.ipv6.conf.all.accept_ra", "0"),
    setting("net.ipv6.conf.default.accept_ra", "0"),
    // Every device has the gateway's address: it is no duplicate.
    setting("net.ipv6.conf.all.accept_dad", "0"),
    setting("net.ipv6.conf.default.accept_dad", "0"),
    setting("net.ipv4.conf.default.arp_ignore", "1"),
    // Each connection to a service without tasks is refused at once, not one per second.
    setting("net.ipv4.icmp_ratelimit", "0"),
    setting("net.ipv6.icmp.ratelimit", "0"),
    // A packet out of the window is passed on with its addresses translated, not without.
    setting("net.netfilter.nf_conntrack_tcp_be_liberal", "1"),
    // Errors name the device's own gateway.
    setting("net.ipv4.icmp_errors_use_inbound_ifaddr", "1"),
];

// === impl Setting ===

impl Setting {
    pub(crate) fn path(&self) -> String {
        format!("/proc/sys/{}", self.key.replace('.', "/"))
    }
}
