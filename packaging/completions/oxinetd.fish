# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_oxinetd_global_optspecs
    string join \n h/help V/version
end

function __fish_oxinetd_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_oxinetd_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_oxinetd_using_subcommand
    set -l cmd (__fish_oxinetd_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c oxinetd -n "__fish_oxinetd_needs_command" -s h -l help -d 'Print help'
complete -c oxinetd -n "__fish_oxinetd_needs_command" -s V -l version -d 'Print version'
complete -c oxinetd -n "__fish_oxinetd_needs_command" -f -a "run" -d 'Serve the table in the foreground until TERM'
complete -c oxinetd -n "__fish_oxinetd_needs_command" -f -a "reload" -d 'Read the table again, and tell what changed'
complete -c oxinetd -n "__fish_oxinetd_needs_command" -f -a "upgrade" -d 'Go on as the program that is now installed, without losing a connection'
complete -c oxinetd -n "__fish_oxinetd_needs_command" -f -a "status" -d 'Show what the daemon does: every service, or one in detail'
complete -c oxinetd -n "__fish_oxinetd_needs_command" -f -a "pause" -d 'Stop accepting connections of a service until `resume`'
complete -c oxinetd -n "__fish_oxinetd_needs_command" -f -a "resume" -d 'Accept connections of a service again, whatever stopped it'
complete -c oxinetd -n "__fish_oxinetd_needs_command" -f -a "drain" -d 'Stop accepting connections of a service and tell the live ones to end'
complete -c oxinetd -n "__fish_oxinetd_needs_command" -f -a "kill" -d 'End one connection by its id, or all of a service'
complete -c oxinetd -n "__fish_oxinetd_needs_command" -f -a "unban" -d 'Lift the ban of a source'
complete -c oxinetd -n "__fish_oxinetd_needs_command" -f -a "log-level" -d 'Change how much the daemon logs, until the next reload'
complete -c oxinetd -n "__fish_oxinetd_needs_command" -f -a "check" -d 'Check a table without serving it, and tell every problem'
complete -c oxinetd -n "__fish_oxinetd_needs_command" -f -a "show" -d 'Show the values that are in force, and where each comes from'
complete -c oxinetd -n "__fish_oxinetd_needs_command" -f -a "try" -d 'Tell what would happen to a client, and which rule decides'
complete -c oxinetd -n "__fish_oxinetd_needs_command" -f -a "convert" -d 'Turn the table of inetd, xinetd, systemd or tcpserver into ours, on standard output'
complete -c oxinetd -n "__fish_oxinetd_needs_command" -f -a "serve" -d 'Serve one service from the command line: oxinetd serve --listen 7007 --builtin echo'
complete -c oxinetd -n "__fish_oxinetd_using_subcommand run" -l config -d 'The main file [default: /etc/oxinetd.toml, without it the table in the binary]' -r -F
complete -c oxinetd -n "__fish_oxinetd_using_subcommand run" -l control -d 'The control socket instead of that of the table: a path, @NAME, or off' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand run" -l log-format -d 'The form of the log instead of that of the table' -r -f -a "text\t'`START: echo pid=…`'
json\t'One object a line'"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand run" -l ready-fd -d 'Write a newline to this descriptor when the daemon serves' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand run" -l pid-file -d 'Write the pid to this file when the daemon serves' -r -F
complete -c oxinetd -n "__fish_oxinetd_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c oxinetd -n "__fish_oxinetd_using_subcommand reload" -l control -d 'The control socket: a path or @NAME [default: /run/oxinetd/control.sock]' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand reload" -s h -l help -d 'Print help'
complete -c oxinetd -n "__fish_oxinetd_using_subcommand upgrade" -l control -d 'The control socket: a path or @NAME [default: /run/oxinetd/control.sock]' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand upgrade" -s h -l help -d 'Print help'
complete -c oxinetd -n "__fish_oxinetd_using_subcommand status" -l control -d 'The control socket: a path or @NAME [default: /run/oxinetd/control.sock]' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand status" -l format -d 'The form of the answer' -r -f -a "table\t'For people'
json\t'For programs'
prometheus\t'For a metrics collector'"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand status" -s q -l quiet -d 'Print nothing, answer by the exit code'
complete -c oxinetd -n "__fish_oxinetd_using_subcommand status" -s w -l watch -d 'Refresh every second until interrupted'
complete -c oxinetd -n "__fish_oxinetd_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c oxinetd -n "__fish_oxinetd_using_subcommand pause" -l control -d 'The control socket: a path or @NAME [default: /run/oxinetd/control.sock]' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand pause" -s h -l help -d 'Print help'
complete -c oxinetd -n "__fish_oxinetd_using_subcommand resume" -l control -d 'The control socket: a path or @NAME [default: /run/oxinetd/control.sock]' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand resume" -s h -l help -d 'Print help'
complete -c oxinetd -n "__fish_oxinetd_using_subcommand drain" -l control -d 'The control socket: a path or @NAME [default: /run/oxinetd/control.sock]' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand drain" -s h -l help -d 'Print help'
complete -c oxinetd -n "__fish_oxinetd_using_subcommand kill" -l control -d 'The control socket: a path or @NAME [default: /run/oxinetd/control.sock]' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand kill" -l service -d 'Every connection of this service' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand kill" -s h -l help -d 'Print help'
complete -c oxinetd -n "__fish_oxinetd_using_subcommand unban" -l control -d 'The control socket: a path or @NAME [default: /run/oxinetd/control.sock]' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand unban" -s h -l help -d 'Print help'
complete -c oxinetd -n "__fish_oxinetd_using_subcommand log-level" -l control -d 'The control socket: a path or @NAME [default: /run/oxinetd/control.sock]' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand log-level" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c oxinetd -n "__fish_oxinetd_using_subcommand check" -l config -d 'The main file [default: /etc/oxinetd.toml, without it the table in the binary]' -r -F
complete -c oxinetd -n "__fish_oxinetd_using_subcommand check" -l format -d 'The form of the report' -r -f -a "human\t'With source lines and carets'
short\t'One line a problem, for editors'
json\t'For programs'
github\t'For GitHub\'s annotations'"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand check" -s W -d 'Warnings are errors'
complete -c oxinetd -n "__fish_oxinetd_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c oxinetd -n "__fish_oxinetd_using_subcommand show" -l config -d 'The main file [default: /etc/oxinetd.toml, without it the table in the binary]' -r -F
complete -c oxinetd -n "__fish_oxinetd_using_subcommand show" -s h -l help -d 'Print help'
complete -c oxinetd -n "__fish_oxinetd_using_subcommand try" -l config -d 'The main file [default: /etc/oxinetd.toml, without it the table in the binary]' -r -F
complete -c oxinetd -n "__fish_oxinetd_using_subcommand try" -l control -d 'The control socket: a path or @NAME [default: /run/oxinetd/control.sock]' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand try" -l at -d 'When it comes, in local time: 22:30, "Sat 22:30", "2026-11-28 22:30"' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand try" -l run -d 'Run the program with the terminal as its client'
complete -c oxinetd -n "__fish_oxinetd_using_subcommand try" -s h -l help -d 'Print help'
complete -c oxinetd -n "__fish_oxinetd_using_subcommand convert" -l from -d 'The format [default: read off the files]' -r -f -a "inetd\t'inetd.conf, dialect detected'
openbsd\t'inetd.conf of OpenBSD'
debian\t'inetd.conf of Debian\'s openbsd-inetd'
freebsd\t'inetd.conf of FreeBSD'
netbsd\t'inetd.conf of NetBSD, positional and key=value'
inetutils\t'inetd.conf of GNU inetutils'
busybox\t'inetd.conf of busybox'
xinetd\t'xinetd.conf with its includes'
systemd\t'.socket and @.service units'
tcpserver\t'command lines of tcpserver and tcpsvd'"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand convert" -l hosts-access -d 'The directory of hosts.allow and hosts.deny, or `none`: there were none [default: /etc]' -r -F
complete -c oxinetd -n "__fish_oxinetd_using_subcommand convert" -l to -d 'The other way: write the units for a service of a table of ours' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand convert" -l lossy -d 'Go on without access rules and limits that cannot be kept; each is told'
complete -c oxinetd -n "__fish_oxinetd_using_subcommand convert" -l diff -d 'Print where the table answers other than the original, instead of the table'
complete -c oxinetd -n "__fish_oxinetd_using_subcommand convert" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l listen -d 'where to listen' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l builtin -d 'a service of our own, by name or as a table with options' -r -f -a "echo\t''
discard\t''
chargen\t''
daytime\t''
time\t''
qotd\t''
health\t''
tarpit\t''"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l builtin.name -d 'which built-in service' -r -f -a "echo\t''
discard\t''
chargen\t''
daytime\t''
time\t''
qotd\t''
health\t''
tarpit\t''"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l builtin.file -d 'the fortune file of qotd, entries between lines of a single %' -r -F
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l builtin.body -d 'what health answers' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l model -d 'how a built-in stream service serves many clients' -r -f -a "process\t''
event\t''
thread\t''"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l allow-reflection -d 'needed for chargen, daytime, time and qotd over UDP, whose replies are longer than requests' -r -f -a "true\t''
false\t''"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l redirect -d 'pass bytes to another address, or as a table with options' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l redirect.to -d 'where to; of several the first that answers is taken' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l redirect.proxy-protocol -d 'tell the target who came, by a PROXY header' -r -f -a "off\t''
v1\t''
v2\t''"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l enabled -d 'false: checked, but not bound' -r -f -a "true\t''
false\t''"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l description -d 'shown by status' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l wait -d 'true: one program gets the listening (or UDP) socket and owns it until it exits; required for a UDP command' -r -f -a "true\t''
false\t''"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l argv0 -d 'what the program sees as its name' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l user -d 'account of the program' -r -f -a "(__fish_complete_users)"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l group -d 'primary group' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l supplementary-groups -d 'further groups; [] drops all' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l working-directory -d 'directory in which the program starts, after root_directory' -r -F
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l root-directory -d 'new root: chroot, or pivot_root when sandbox has a mount namespace; refused for a root service without that' -r -F
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l umask -d 'file mode creation mask' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l nice -d 'scheduling priority' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l pass-env -d 'variables taken from the daemon\'s environment' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l oom-score-adj -d 'how soon the kernel kills it when memory is short' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l stdio -d 'pipe: for programs that dislike sockets; listen_fds: fd 3 with LISTEN_FDS' -r -f -a "socket\t''
pipe\t''
listen_fds\t''"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l stderr -d 'where fd 2 goes: "log", "log-each", "client", "null", "inherit", "file:/path"' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l allow -d 'who may come; the longest matching prefix decides, a tie refuses' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l deny -d 'who may not come' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l hours -d 'windows of local time' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l timezone -d 'zone name for hours' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l max-load -d 'refuse above this 1-minute load' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l proxy-protocol -d 'expect the PROXY header; the peer is then the one that it names' -r -f -a "off\t''
v1\t''
v2\t''
any\t''"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l proxy-from -d 'who may send the header' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l max-connections -d 'connections at once' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l max-per-source -d 'connections at once from one source; the default does not count loopback and unix peers' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l exempt -d 'sources that no per-source rule counts' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l source-prefix.v4 -d 'prefix length of an IPv4 source' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l source-prefix.v6 -d 'prefix length of an IPv6 source' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l rate -d 'starts of the service' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l rate-per-source -d 'starts for one source' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l over-limit -d 'at max_connections or rate: leave in the kernel queue, or accept and refuse' -r -f -a "queue\t''
refuse\t''"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l refuse-with -d 'how a refusal looks' -r -f -a "close\t''
reset\t''
tarpit\t''"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l pause -d 'stop accepting this long after rate is hit, then go on' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l refuse-message -d 'sent before a refused connection is closed' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l penalty.after -d 'refusals that lead to a ban' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l penalty.for -d 'the first ban' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l penalty.max -d 'the longest ban' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l banner -d 'sent before the program starts; "@file" takes it from a file' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l timeout -d 'the whole connection' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l idle-timeout -d 'no bytes either way' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l first-byte-timeout -d 'silent clients' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l on-disconnect -d 'what happens when the client has vanished; a FIN alone is a half-close' -r -f -a "ignore\t''
term\t''
kill\t''"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l on-remove -d 'what becomes of live connections when a reload removes the service' -r -f -a "keep\t''
drain\t''
kill\t''"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l linger -d 'unread input is drained after the program ended, so that its reply arrives; "off": the textbook close' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l linger.time -d 'how long' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l linger.max -d 'bytes drained, besides those that were unread at the program\'s end' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l stop-timeout -d 'TERM to KILL of the whole tree' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l cache -d 'one run answers all clients within this time' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l sandbox -d 'confinement: a preset, or a table that starts from one' -r -f -a "none\t''
basic\t''
strict\t''
jail\t''"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l sandbox.preset -d 'where to start from' -r -f -a "none\t''
basic\t''
strict\t''
jail\t''"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l sandbox.read-only -d 'paths that stay readable' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l sandbox.read-write -d 'paths that stay writable' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l sandbox.hide -d 'paths that disappear' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l sandbox.network -d 'none: an empty network namespace' -r -f -a "host\t''
none\t''"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l sandbox.capabilities -d 'kept capabilities' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l sandbox.allow-32bit -d 'system calls of 32-bit programs pass' -r -f -a "true\t''
false\t''"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l limits.open-files -d 'descriptors' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l limits.processes -d 'processes of the uid' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l limits.cpu-time -d 'processor time' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l limits.address-space -d 'address space' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l limits.data -d 'data segment' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l limits.stack -d 'stack' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l limits.file-size -d 'largest file that it writes' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l limits.core -d 'core dump' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l limits.locked-memory -d 'locked memory' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l cgroup.memory-max -d 'memory of a connection' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l cgroup.memory-high -d 'memory above which it is slowed' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l cgroup.swap-max -d 'swap of a connection' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l cgroup.tasks-max -d 'processes and threads of a connection' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l cgroup.cpu-quota -d 'share of one processor' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l cgroup.cpu-weight -d 'weight among those who want the processor' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l cgroup.io-weight -d 'weight among those who want the disk' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l backlog -d 'connections that may wait in the kernel' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l dual-stack -d 'one socket for IPv4 and IPv6' -r -f -a "true\t''
false\t''"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l bind-device -d 'only through this interface' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l freebind -d 'bind before the address exists' -r -f -a "true\t''
false\t''"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l transparent -d 'bind to addresses of others' -r -f -a "true\t''
false\t''"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l reuse-port -d 'several sockets may bind the same address' -r -f -a "true\t''
false\t''"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l keepalive -d 'probe silent clients, first after this time' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l nodelay -d 'send small segments at once' -r -f -a "true\t''
false\t''"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l defer-accept -d 'the kernel keeps a connection back until data arrives' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l dscp -d 'differentiated services code point' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l mark -d 'firewall mark' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l receive-buffer -d 'socket buffer' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l send-buffer -d 'socket buffer' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l socket-user -d 'owner of a unix socket' -r -f -a "(__fish_complete_users)"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l socket-group -d 'group of a unix socket' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l socket-mode -d 'mode of a unix socket' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l log -d 'events to write; errors always are' -r -f -a "start\t''
exit\t''
refuse\t''"
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l log-tag -d 'identifier of stderr lines and in the journal' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l log-to -d 'this service\'s own sink' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l transcript -d 'record of the bytes of both directions, with times' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l transcript.path -d 'the file' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -l transcript.max -d 'bytes after which the record stops' -r
complete -c oxinetd -n "__fish_oxinetd_using_subcommand serve" -s h -l help -d 'Print help'
