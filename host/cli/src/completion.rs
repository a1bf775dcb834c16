//! `swarmw completion`: scripts that have a shell ask this program how a line goes on.
//!
//! A script hands the words to the hidden command `__complete`, which answers with a
//! candidate per line, a tab and what it is. Names of services, nodes and the like come
//! from the daemon, as it is asked in the line that is being typed.

mod names;
mod walk;

use std::time::Duration;

use crate::client::Host;
use crate::failure::Failure;
use crate::io::Io;
use crate::{Client, ClientArgs};

use walk::{Next, next};

/// Longest wait for a daemon: a key was pressed, and nobody waits longer.
const PATIENCE: Duration = Duration::from_secs(2);

const BASH: &str = r#"# bash completion of swarmw: source it, or put it into
# /usr/share/bash-completion/completions/swarmw
_swarmw() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("${line%%$'\t'*}")
    done < <("${COMP_WORDS[0]}" __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _swarmw swarmw
"#;

const ZSH: &str = r#"#compdef swarmw
# zsh completion of swarmw: source it, or put it as _swarmw into a folder of $fpath
_swarmw() {
    local -a found
    local line
    while IFS= read -r line; do
        found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done < <("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
    if (( ${#found} )); then
        _describe 'swarmw' found
    else
        _files
    fi
}
if [ "${funcstack[1]}" = "_swarmw" ]; then
    _swarmw
else
    compdef _swarmw swarmw
fi
"#;

const FISH: &str = r#"# fish completion of swarmw: source it, or put it as swarmw.fish into
# ~/.config/fish/completions
function __swarmw_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l found ($words[1] __complete -- $words[2..-1] 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c swarmw -f -a '(__swarmw_complete)'
"#;

/// `completion`
#[derive(clap::Args, Clone, Debug)]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_name = "bash|zsh|fish", value_enum)]
    shell: Shell,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// `__complete`: what scripts ask.
#[derive(clap::Args, Clone, Debug)]
pub struct CompleteArgs {
    /// The words of the line, the last of which is under way
    #[arg(last = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

pub(crate) fn script(args: &CompletionArgs, io: &mut Io) -> Result<(), Failure> {
    io.text(match args.shell {
        Shell::Bash => BASH,
        Shell::Zsh => ZSH,
        Shell::Fish => FISH,
    })?;
    Ok(())
}

/// Answers with candidates. What cannot be asked has none: a shell shows no errors.
pub(crate) async fn complete(
    args: &ClientArgs,
    words: &CompleteArgs,
    root: &clap::Command,
    io: &mut Io,
) -> Result<(), Failure> {
    let (typed, wanted) = next(root, &words.words);
    let candidates = match wanted {
        Next::Words(words) => words,
        Next::Names(kind) => {
            let host = typed.host.as_deref().or(args.host.as_deref());
            let Ok(host) = Host::find(host) else { return Ok(()) };
            let client = match host {
                Host::Unix(_) => Client::new(host),
                // Certificates are of the line that is typed, and not read here.
                Host::Tcp(_) => crate::client(args)?,
            };
            let asked = tokio::time::timeout(PATIENCE, names::of(&client, kind)).await;
            asked.ok().and_then(Result::ok).unwrap_or_default()
        }
        Next::Anything => Vec::new(),
    };
    for candidate in candidates.iter().filter(|c| c.text.starts_with(&typed.start)) {
        let before = &typed.before;
        io.line(format_args!("{before}{}\t{}", candidate.text, candidate.about))?;
    }
    Ok(())
}
