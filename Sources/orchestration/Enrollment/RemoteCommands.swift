import SSH

/// Every command that Tidegate ever runs on a VPS. None carries a value; values travel on standard input.
enum NodeCommand {
    static let apply: RemoteCommand = "exec /usr/local/lib/tidegate/edge-agent apply"
    /// Reads the header's line, then Envoy by gzip, which every host has that took the agent.
    static let installEnvoy: RemoteCommand = """
        IFS= read -r header && { printf '%s\\n' "$header"; gzip -dc; } | /usr/local/lib/tidegate/edge-agent install-envoy
        """
    /// The same for the link program.
    static let installLink: RemoteCommand = """
        IFS= read -r header && { printf '%s\\n' "$header"; gzip -dc; } | /usr/local/lib/tidegate/edge-agent install-link
        """
    /// Says `absent` where there is nothing of ours. Where only the agent is missing or broken, something of ours may still run.
    static let teardown: RemoteCommand = """
        [ -e /usr/local/lib/tidegate/edge-agent ] || [ -e /etc/tidegate ] || { echo tidegate-absent; exit 0; }
        exec /usr/local/lib/tidegate/edge-agent teardown
        """
    static let absent = "tidegate-absent"

    static let installAgentAndApply: RemoteCommand = installAgent + "exec \"$home/edge-agent\" apply 9>&-"
    static let installAgentAndTearDown: RemoteCommand = installAgent + "exec \"$home/edge-agent\" teardown 9>&-"

    /// Reads `BLOCKS SHA256`, then that many blocks of 64 KiB, and leaves what the new agent is to read.
    ///
    /// dd reads block by block with read(2), so not a byte of the document is swallowed. The files are renamed into place one by
    /// one, `BUILD` last: a push that was cut leaves an agent that names another build, and is pushed again. What else is in
    /// the folder (Envoy) stays. Two that come at once (two EdgeNodes on one host) take turns. What fails is removed again, and told
    /// in the C locale, in which a full disk is recognized.
    private static let installAgent: RemoteCommand = """
        set -eu; umask 022; export LC_ALL=C
        home=/usr/local/lib/tidegate; new=/usr/local/lib/.tidegate-new
        fail() { echo "tidegate-install: $1" >&2; rm -rf "$new"; exit 65; }
        unfit() { echo "tidegate-unfit: $1" >&2; exit 66; }
        for tool in uname dd sha256sum tar gzip mv sync; do command -v "$tool" >/dev/null || unfit "the host has no $tool: install it"; done
        [ "$(uname -s) $(uname -m)" = "Linux x86_64" ] || unfit "this host is $(uname -s) on $(uname -m), and Tidegate needs Linux on x86-64"
        [ "$(id -u)" = 0 ] || unfit "the SSH user is not root: let root log in, or name a user with sudo in ssh.user"
        if command -v flock >/dev/null && [ -d /run ]; then
            exec 9>/run/tidegate-install.lock
            flock -w 300 9 || { echo "tidegate-install: another installation on this host does not end" >&2; exit 65; }
        fi
        said=$(rm -rf "$new" 2>&1 && mkdir -p "$new/files" "$home" 2>&1) || case "$said" in
            *"Read-only"*) unfit "/usr/local/lib is read-only on this host, and the agent has its place there: mount it writable ($said)" ;;
            *) fail "cannot make folders under /usr/local/lib: $said" ;;
        esac
        # A push of which nothing comes for half a minute to a minute ends, with its SSH connection: its controller may have died with its
        # network, and others wait for their turn. The agent that follows sees to its connection itself.
        part=$new/part.$$
        watch() {
            before=none
            while sleep 30 && [ -e "$part" ]; do
                now=$(wc -c < "$part")
                [ "$now" = "$before" ] || { before=$now; continue; }
                rm -rf "$new"; process=$$
                while [ "$process" -gt 1 ] && read -r name < "/proc/$process/comm"; do
                    case $name in sshd*|dropbear*) kill "$process"; break ;; esac
                    while read -r key value; do [ "$key" != PPid: ] || parent=$value; done < "/proc/$process/status"
                    process=$parent
                done
                kill $$; exit
            done
        }
        : 2>/dev/null >"$part" || fail "cannot write to /usr/local/lib"
        (exec 9>&- </dev/null >/dev/null 2>&1; watch &)
        read -r blocks sum || fail "nothing arrived"
        said=$(dd bs=65536 iflag=fullblock count="$blocks" of="$part" 2>&1) || fail "cannot write the bundle: $said"
        mv "$part" "$new/bundle.tar.gz"
        [ "$(sha256sum < "$new/bundle.tar.gz")" = "$sum  -" ] || fail "the bundle arrived incomplete or altered"
        said=$(tar -xzof "$new/bundle.tar.gz" -C "$new/files" 2>&1) || fail "cannot unpack the bundle: $said"
        sync
        for file in "$new"/files/*; do case "$file" in */BUILD) ;; *) mv -f "$file" "$home/" || fail "cannot move the agent into place";; esac; done
        mv -f "$new/files/BUILD" "$home/BUILD" || fail "cannot move the agent into place"
        sync; rm -rf "$new"
        said=$("$home/edge-agent" version 2>&1 </dev/null) || unfit "the agent does not start from $home ($said): is that mounted noexec?"

        """

    /// This status, and a message after this mark on standard error, mean that no try on this host will do.
    static let hostIsUnfit: Int32 = 66
    static let unfitMark = "tidegate-unfit: "

    /// Whether the messages of the tools above mean a full disk. GNU tar says only how much of a file it could write.
    static func meansDiskFull(_ messages: String) -> Bool {
        messages.contains("No space left") || messages.contains("Wrote only ")
    }

    /// `tidegate-install: ` messages on standard error, and this status, mean that nothing was installed.
    static let installFailed: Int32 = 65
    /// What a shell answers when the program does not exist, or cannot be run (POSIX, section 2.8.2).
    static let notFound: ClosedRange<Int32> = 126...127
}
