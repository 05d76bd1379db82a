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
    /// the folder (Envoy) stays. What fails is removed again, and told in the C locale, in which a full disk is recognized.
    static let installAgentAndApply: RemoteCommand = """
        set -eu; umask 022; export LC_ALL=C
        home=/usr/local/lib/tidegate; new=/usr/local/lib/.tidegate-new
        fail() { echo "tidegate-install: $1" >&2; rm -rf "$new"; exit 65; }
        for tool in dd sha256sum tar gzip mv sync; do command -v "$tool" >/dev/null || fail "the host has no $tool"; done
        [ "$(id -u)" = 0 ] || fail "the SSH user is not root"
        read -r blocks sum || fail "nothing arrived"
        rm -rf "$new" && mkdir -p "$new/files" "$home" || fail "cannot make folders under /usr/local/lib"
        said=$(dd bs=65536 iflag=fullblock count="$blocks" of="$new/bundle.tar.gz" 2>&1) || fail "cannot write the bundle: $said"
        [ "$(sha256sum < "$new/bundle.tar.gz")" = "$sum  -" ] || fail "the bundle arrived incomplete or altered"
        said=$(tar -xzof "$new/bundle.tar.gz" -C "$new/files" 2>&1) || fail "cannot unpack the bundle: $said"
        sync
        for file in "$new"/files/*; do case "$file" in */BUILD) ;; *) mv -f "$file" "$home/" || fail "cannot move the agent into place";; esac; done
        mv -f "$new/files/BUILD" "$home/BUILD" || fail "cannot move the agent into place"
        sync; rm -rf "$new"
        exec "$home/edge-agent" apply
        """

    /// Whether the messages of the tools above mean a full disk. GNU tar says only how much of a file it could write.
    static func meansDiskFull(_ messages: String) -> Bool {
        messages.contains("No space left") || messages.contains("Wrote only ")
    }

    /// `tidegate-install: ` messages on standard error, and this status, mean that nothing was installed.
    static let installFailed: Int32 = 65
    /// What a shell answers when the program does not exist, or cannot be run (POSIX, section 2.8.2).
    static let notFound: ClosedRange<Int32> = 126...127
}
