// Command fujie is the whole of Fujie 符节: every kind of node, the tools to work with them, and a country on one machine.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
)

// version is set by the build.
var version = "dev"

// commands is the table of subcommands: one file and one line each.
type commands struct {
	Up        upCmd        `cmd:"" help:"${up}"`
	Node      nodeCmd      `cmd:"" help:"${node}"`
	Resolve   resolveCmd   `cmd:"" help:"${resolve}"`
	Register  registerCmd  `cmd:"" help:"${register}"`
	Get       getCmd       `cmd:"" help:"${get}"`
	Verify    verifyCmd    `cmd:"" help:"${verify}"`
	Put       putCmd       `cmd:"" help:"${put}"`
	Delete    deleteCmd    `cmd:"" help:"${delete}"`
	List      listCmd      `cmd:"" help:"${list}"`
	Key       keyCmd       `cmd:"" help:"${key}"`
	Account   accountCmd   `cmd:"" help:"${account}"`
	Office    officeCmd    `cmd:"" help:"${office}"`
	Template  templateCmd  `cmd:"" help:"${template}"`
	Capture   captureCmd   `cmd:"" help:"${capture}"`
	Events    eventsCmd    `cmd:"" help:"${events}"`
	Trace     traceCmd     `cmd:"" help:"${trace}"`
	Share     shareCmd     `cmd:"" help:"${share}"`
	Recall    recallCmd    `cmd:"" help:"${recall}"`
	Solution  solutionCmd  `cmd:"" help:"${solution}"`
	Scan      scanCmd      `cmd:"" help:"${scan}"`
	Indicator indicatorCmd `cmd:"" help:"${indicator}"`
	Id        idCmd        `cmd:"" help:"${id}"`
	Floor     floorCmd     `cmd:"" help:"${floor}"`
	System    systemCmd    `cmd:"" hidden:"" help:"${system}"`
	Codes     codesCmd     `cmd:"" help:"${codes}"`
	Export    exportCmd    `cmd:"" help:"${export}"`
	Import    importCmd    `cmd:"" help:"${import}"`
	Audit     auditCmd     `cmd:"" help:"${audit}"`
	Policy    policyCmd    `cmd:"" help:"${policy}"`
	Backup    backupCmd    `cmd:"" help:"${backup}"`
	Restore   restoreCmd   `cmd:"" help:"${restore}"`
	Upgrade   upgradeCmd   `cmd:"" help:"${upgrade}"`
	Escrow    escrowCmd    `cmd:"" help:"${escrow}"`
	Site      siteCmd      `cmd:"" help:"${site}"`
	Bench     benchCmd     `cmd:"" help:"${bench}"`
	Version   versionCmd   `cmd:"" help:"${version}"`
	Help      helpCmd      `cmd:"" help:"${help}"`
}

// env is what a command may use of the world around it.
type env struct {
	ctx      context.Context
	out, err io.Writer
	lang     problem.Lang
	terminal bool // err is a terminal: progress may be drawn on it
}

func main() {
	node.Version = version
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run does one command line and returns its exit code.
func run(ctx context.Context, args []string, out, errw io.Writer) (code int) {
	e := &env{ctx: ctx, out: out, err: errw, lang: locale(), terminal: isTerminal(errw)}
	var c commands
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("fujie"),
		kong.Description(e.say(about.en, about.zh)),
		fillHelp(e.lang),
		kong.Writers(out, errw),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.ValueFormatter(kong.DefaultHelpValueFormatter),
		kong.Exit(func(code int) { exited = code; panic(exit{}) }),
		kong.Help(e.help),
	)
	if err != nil {
		fmt.Fprintln(errw, err)
		return exitInternal
	}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case exit:
			code = exited
		default:
			panic(r)
		}
	}()
	if len(args) == 0 {
		args = []string{"--help"}
	}
	k, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(errw, "fujie: %v\n%s\n", err, e.say("fujie --help lists the commands; fujie COMMAND --help shows examples",
			"fujie --help 列出全部命令；fujie 命令 --help 给出示例"))
		return exitUsage
	}
	if err := k.Run(e); err != nil {
		if text := e.sentence(err); text != "" {
			fmt.Fprintln(errw, "fujie:", text)
		}
		return exitCode(err)
	}
	return exitOK
}

// exit carries kong's wish to end the program up to run.
type exit struct{}
