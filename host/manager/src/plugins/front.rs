//! What the front door of a manager offers of plugins.

use bytes::Bytes;
use swarmw_model::{
    Consent, Plugin, PluginAct, PluginId, PluginLine, PluginOffer, PluginReport, PluginUse,
    Refusal, RequestId, ShadowReport,
};

use super::{act, offer};
use crate::manager::Manager;

impl Manager {
    /// Checks a component, stores it on a majority of managers, names it in the
    /// log, and has it serve before this returns.
    ///
    /// # Errors
    /// What is wrong with the component, or with storing it; or it asks for powers
    /// that nobody granted.
    pub async fn add_plugin(
        &self,
        request: Option<RequestId>,
        component: Bytes,
        offer: &PluginOffer,
    ) -> Result<Plugin, Refusal> {
        offer::add(self.inner(), request, component, offer).await
    }

    /// What would become of a component, and with `plan` what it would mean for
    /// tasks. Changes nothing.
    ///
    /// # Errors
    /// As [`Manager::add_plugin`].
    pub async fn report_plugin(
        &self,
        component: Bytes,
        offer: &PluginOffer,
        plan: bool,
    ) -> Result<PluginReport, Refusal> {
        super::sync(self.inner()).await;
        super::settled(self.inner(), None).await;
        offer::report(self.inner(), component, offer, plan).await
    }

    /// Puts the version of a plugin that waits, or runs in shadow, in its place; enables
    /// a plugin; or gives it other powers.
    ///
    /// # Errors
    /// It asks for powers that nobody granted, or nothing would change.
    pub async fn act_on_plugin(
        &self,
        request: Option<RequestId>,
        id: PluginId,
        act: PluginAct,
        consent: &Consent,
    ) -> Result<Plugin, Refusal> {
        act::act(self.inner(), request, id, act, consent).await
    }

    /// What a plugin did on this manager, and what its version in shadow said
    /// otherwise.
    pub fn plugin_use(&self, plugin: &Plugin) -> (Option<PluginUse>, Option<ShadowReport>) {
        (self.inner().policies.used(&plugin.name), self.inner().shadows.of(plugin))
    }

    /// The last lines of a plugin's log on this manager, after the one of this
    /// number.
    pub fn plugin_lines(&self, plugin: &str, after: u64) -> Vec<PluginLine> {
        self.inner().policies.lines(plugin, after)
    }
}
