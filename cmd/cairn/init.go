package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/ca/ceremony"
	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/config"
)

// answers are what a private CA is made from: five questions, and what has a
// default that nobody need be asked about.
type answers struct {
	organization string
	url          string
	names        string
	data         string
	rootSecret   string // file
	noRootSecret bool

	keyType      string
	issuerSecret string // file; empty: the issuing key is not encrypted
	publicURL    string
	admin        string
	config       string

	terminal terminal
}

func initCommand() *cobra.Command {
	var a answers
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Ask five questions and make a private CA",
		Long: `Ask five questions and make a private CA: a root, an intermediate, and a
configuration file with comments.

The questions are what the organization is called, under which URL clients reach
the CA, which names it may certify, where its data is to be, and with which
passphrase the root's key is encrypted. For scripts each has a flag, and with
--organization and one of --root-passphrase-file and --unencrypted-root nobody
is asked anything. Nothing that exists is overwritten.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.terminal = terminal{os.Stdin, cmd.ErrOrStderr()}
			return a.run(cmd)
		},
	}
	f := cmd.Flags()
	f.StringVar(&a.organization, "organization", "", "the organization's `NAME`, for the subjects of the root and the intermediate")
	f.StringVar(&a.url, "url", "", "the `URL` under which clients reach the CA (default "+defaultURL+")")
	f.StringVar(&a.names, "names", "", "the `DOMAINS` that it may certify with everything below them, with commas between them, or any (default any)")
	f.StringVar(&a.data, "data", "", "the data folder `DIR` (default "+defaultData+")")
	f.StringVar(&a.rootSecret, "root-passphrase-file", "", "the `FILE` with a passphrase to encrypt the root's key with")
	f.BoolVar(&a.noRootSecret, "unencrypted-root", false, "keep the root's key without a passphrase")
	f.StringVar(&a.keyType, "key-type", string(key.P256), "the `TYPE` of the keys: p256, p384, p521, rsa or ed25519")
	f.StringVar(&a.issuerSecret, "key-passphrase-file", "", "the `FILE` with a passphrase to encrypt the issuing key with; cairn serve reads it too (default: it is not encrypted)")
	f.StringVar(&a.publicURL, "public-url", "", "the `URL` of CRLs and OCSP in certificates (default: port 14080 of the host in --url)")
	f.StringVar(&a.admin, "admin", "127.0.0.1:15000", "the `ADDRESS` for metrics and health")
	f.StringVar(&a.config, "config", "cairn.yaml", "the configuration `FILE` that is written")
	cmd.MarkFlagsMutuallyExclusive("root-passphrase-file", "unencrypted-root")
	return cmd
}

const (
	defaultURL  = "https://localhost:14000"
	defaultData = "./cairn-data"
	anyName     = "any"
)

func (a *answers) run(cmd *cobra.Command) error {
	secret, err := a.ask()
	if err != nil {
		return err
	}
	types := []key.Type{key.P256, key.P384, key.P521, key.RSA, key.Ed25519}
	if !slices.Contains(types, key.Type(a.keyType)) {
		return fmt.Errorf("--key-type: expects one of %v; found %q", types, a.keyType)
	}
	text, err := a.configuration()
	if err != nil {
		return err
	}
	switch _, err := os.Lstat(a.config); {
	case err == nil:
		return fmt.Errorf("%s is there already, and nothing is overwritten; name another file with --config", a.config)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("looking for %s: %w", a.config, err)
	}
	if err := a.makeHierarchy(cmd, secret); err != nil {
		return err
	}
	if err := key.Create(rand.Reader, a.config, text, 0o644); err != nil {
		return fmt.Errorf("%w; the CA is made, and this is the configuration that was to be written:\n\n%s", err, text)
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), a.next())
	return err
}

// question is one of the five.
type question struct {
	text, usual string
	answer      *string
	check       func(string) error
}

// ask asks for what the flags have not answered. The passphrase is nil when
// the root's key is not to be encrypted.
func (a *answers) ask() (key.Passphrase, error) {
	questions := []question{
		{"1. The organization's name", "", &a.organization, checkOrganization},
		{"2. The URL under which clients reach the CA", defaultURL, &a.url, checkExternalURL},
		{"3. The domains that it may certify, with everything below them (such as corp.example, internal), or any", anyName, &a.names, checkNames},
		{"4. The folder for its data", defaultData, &a.data, func(string) error { return nil }},
	}
	person := a.terminal.interactive()
	if !person {
		var missing []string
		if a.organization == "" {
			missing = append(missing, "--organization")
		}
		if a.rootSecret == "" && !a.noRootSecret {
			missing = append(missing, "--root-passphrase-file or --unencrypted-root")
		}
		if missing != nil {
			return nil, fmt.Errorf("there is no terminal to ask questions at; answer them with %s", strings.Join(missing, ", and "))
		}
	}
	for _, q := range questions {
		if err := a.one(q, person); err != nil {
			return nil, err
		}
	}
	switch {
	case a.noRootSecret:
		return nil, nil
	case a.rootSecret != "":
		return key.PassphraseFile(a.rootSecret), nil
	}
	secret, err := a.terminal.newSecret("5. A passphrase for the root's key (nothing: the key is not encrypted): ")
	if err != nil || len(secret) == 0 {
		return nil, err
	}
	return func() ([]byte, error) { return secret, nil }, nil
}

// one gets the answer to a question, from a flag or a person.
func (a *answers) one(q question, person bool) error {
	if *q.answer != "" || !person {
		if *q.answer == "" {
			*q.answer = q.usual
		}
		return q.check(*q.answer)
	}
	text := q.text + ": "
	if q.usual != "" {
		text = q.text + " [" + q.usual + "]: "
	}
	for {
		answer, err := a.terminal.ask(text)
		if err != nil {
			return err
		}
		if answer == "" {
			answer = q.usual
		}
		if err := q.check(answer); err != nil {
			fmt.Fprintf(a.terminal.out, "   %s.\n", err)
			continue
		}
		*q.answer = answer
		return nil
	}
}

func checkOrganization(s string) error {
	switch n := len([]rune(s)); {
	case strings.TrimSpace(s) == "":
		return errors.New("an organization has a name")
	case n > 64:
		return fmt.Errorf("the name of an organization has at most 64 characters in a certificate (RFC 5280 Appendix A.1); this one has %d", n)
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("the name of the organization has characters that can't be printed")
	}
	return nil
}

func checkExternalURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" {
		return fmt.Errorf("expects a URL such as https://ca.example.internal:14000; found %q", s)
	}
	return nil
}

func checkNames(s string) error {
	for _, name := range splitNames(s) {
		if strings.ContainsAny(name, "*/: ") || !strings.ContainsFunc(name, unicode.IsLetter) {
			return fmt.Errorf("expects domain names with commas between them, such as corp.example, internal; found %q", name)
		}
	}
	return nil
}

// splitNames is the domains of an answer; none: any name.
func splitNames(s string) []string {
	if strings.TrimSpace(s) == anyName {
		return nil
	}
	var names []string
	for name := range strings.SplitSeq(s, ",") {
		names = append(names, strings.ToLower(strings.TrimSpace(name)))
	}
	return names
}

func (a *answers) makeHierarchy(cmd *cobra.Command, secret key.Passphrase) error {
	private := ceremony.PrivateCA{Organization: a.organization, KeyType: key.Type(a.keyType), RootPassphrase: secret, Now: time.Now(), Random: rand.Reader}
	if a.issuerSecret != "" {
		private.IssuerPassphrase = key.PassphraseFile(a.issuerSecret)
	}
	plan, err := private.Plan()
	if err != nil {
		return err
	}
	data, err := openData(a.data, "")
	if err != nil {
		return err
	}
	defer data.close()
	err = ceremony.Run(ceremony.Config{
		Plan: plan, Folder: data.path, Header: append(recordHeader(), ceremony.Line{Name: "plan", Value: "cairn init"}),
		Out: cmd.OutOrStdout(), Now: time.Now, Random: rand.Reader,
	})
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("the data folder %s has a CA already (%w); start that one with cairn serve --data %s", a.data, err, shellQuote(a.data))
	}
	return err
}

// next is what to do next.
func (a *answers) next() string {
	root := filepath.Join(a.data, rootFile)
	text := fmt.Sprintf(`
The CA is made, and %s is its configuration. Start it with:

  cairn serve --config %s

Clients must trust its root, %s.
`, a.config, shellQuote(a.config), root)
	rootKey := filepath.Join(a.data, "keys", "root.key")
	return text + fmt.Sprintf("The root's key, %s, is needed for another intermediate only:\nmove it to a safe place that is not on this machine.\n", rootKey)
}

// configuration is the configuration file. It was validated.
func (a *answers) configuration() ([]byte, error) {
	u, err := url.Parse(a.url)
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = "443"
	}
	if a.publicURL == "" {
		a.publicURL = (&url.URL{Scheme: "http", Host: net.JoinHostPort(host, "14080")}).String()
	}
	public, err := url.Parse(a.publicURL)
	if err != nil || public.Hostname() == "" {
		return nil, fmt.Errorf("--public-url: expects a URL such as http://pki.example.internal; found %q", a.publicURL)
	}
	publicPort := public.Port()
	if publicPort == "" {
		publicPort = "80"
	}
	listen := ""
	if host == "localhost" {
		listen = "127.0.0.1"
	}
	data, err := filepath.Abs(a.data)
	if err != nil {
		return nil, fmt.Errorf("finding the data folder: %w", err)
	}
	var secret string
	if a.issuerSecret != "" {
		if secret, err = filepath.Abs(a.issuerSecret); err != nil {
			return nil, fmt.Errorf("finding the passphrase file: %w", err)
		}
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# The CA of %s, as cairn init made it. docs/configuration.md explains", a.organization)
	line("# every key, and there are many more. Check changes with")
	line("#\n#     cairn config check %s\n", filepath.Base(a.config))
	line("# The store, the CA's keys, root.pem, chain.pem and the audit log.")
	line("data: %q\n", data)
	line("listen:")
	line("  acme: %q      # HTTPS: what ACME clients talk to", listen+":"+port)
	line("  public: %q    # plain HTTP: OCSP, CRLs, issuer certificates", listen+":"+publicPort)
	line("  admin: %q     # HTTPS: /metrics, /healthz, /readyz\n", a.admin)
	line("# How the two are reached from outside. They are in account URLs and in")
	line("# certificates: don't change them once there are some.")
	line("external_url: %q", strings.TrimSuffix(a.url, "/"))
	line("public_url: %q\n", strings.TrimSuffix(a.publicURL, "/"))
	if names := splitNames(a.names); names != nil {
		quoted := make([]string, len(names))
		for i, name := range names {
			quoted[i] = fmt.Sprintf("%q", name)
		}
		line("# The names that certificates are for: these, and every name below them.")
		line("policy:\n  allow: [%s]\n", strings.Join(quoted, ", "))
	} else {
		line("# The names that certificates are for: any. To allow some alone, these and")
		line("# every name below them:")
		line("#policy:\n#  allow: [corp.example, internal]\n")
	}
	line("va:")
	line("  # The resolvers to ask for the names; none: the system's.")
	line("  #resolvers: [\"10.0.0.53\"]")
	line("  # Names may lead to addresses of an internal network.")
	line("  allow_private_addresses: true")
	if secret != "" {
		line("\nca:\n  # The passphrase of keys/intermediate.key.\n  key_passphrase_file: %q", secret)
	}
	text := []byte(b.String())
	if _, err := config.Parse(a.config, text); err != nil {
		return nil, fmt.Errorf("the answers do not make a configuration:\n%w", err)
	}
	return text, nil
}
