import SSH

/// Every command that Tidegate ever runs on a VPS. None carries a value; values travel on standard input.
enum NodeCommand {
    static let apply: RemoteCommand = "exec /usr/local/lib/tidegate/edge-agent apply"
    static let installEnvoy: RemoteCommand = "exec /usr/local/lib/tidegate/edge-agent install-envoy"
    static let teardown: RemoteCommand = "exec /usr/local/lib/tidegate/edge-agent teardown"

    /// Reads `BLOCKS SHA256`, then that many blocks of 64 KiB, then the document that the new agent applies at once.
    ///
    /// dd reads block by block with read(2), so not a byte of the document is swallowed. The files are renamed into place one by
    /// one, `BUILD` last: a push that was cut leaves an agent that names another build, and is pushed again. What else is in
    /// the folder (Envoy) stays.
    static let installAgentAndApply: RemoteCommand = """
        set -eu; umask 022
        fail() { echo "tidegate-install: $1" >&2; exit 65; }
        for tool in dd sha256sum tar gzip mv sync; do command -v "$tool" >/dev/null || fail "the host has no $tool"; done
        [ "$(id -u)" = 0 ] || fail "the SSH user is not root"
        home=/usr/local/lib/tidegate; new=/usr/local/lib/.tidegate-new
        read -r blocks sum
        rm -rf "$new"; mkdir -p "$new/files" "$home" || fail "cannot make folders under /usr/local/lib"
        dd bs=65536 iflag=fullblock count="$blocks" of="$new/bundle.tar.gz" 2>"$new/dd" || fail "cannot write the bundle: $(head -n 1 "$new/dd")"
        [ "$(sha256sum < "$new/bundle.tar.gz")" = "$sum  -" ] || fail "the bundle arrived incomplete or altered"
        tar -xzf "$new/bundle.tar.gz" -C "$new/files" 2>"$new/tar" || fail "cannot unpack the bundle: $(head -n 1 "$new/tar")"
        sync
        for file in "$new"/files/*; do case "$file" in */BUILD) ;; *) mv -f "$file" "$home/" || fail "cannot move the agent into place";; esac; done
        mv -f "$new/files/BUILD" "$home/BUILD" || fail "cannot move the agent into place"
        sync; rm -rf "$new"
        exec "$home/edge-agent" apply
        """

    /// `tidegate-install: ` messages on standard error, and this status, mean that nothing was installed.
    static let installFailed: Int32 = 65
    /// What a shell answers when the program does not exist, or cannot be run (POSIX, section 2.8.2).
    static let notFound: ClosedRange<Int32> = 126...127
}
