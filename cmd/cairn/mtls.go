package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/rpc"
)

func mtlsCommand() *cobra.Command {
	var domain string
	var names []string
	cmd := &cobra.Command{
		Use:   "mtls DIR",
		Short: "Make the certificates that roles know each other by",
		Long: `Make the certificates that roles know each other by.

In the folder DIR, which is made if need be, the command makes an internal CA
(internal-ca.pem, internal-ca.key) and a certificate for each role (ra.pem,
ra.key, and so on), for the keys rpc.tls.ca, rpc.tls.cert and rpc.tls.key. What
is there stays: with --name, a later call adds certificates for more processes,
such as "ra-2". Only this command needs internal-ca.key; keep it away from the
processes.`,
		Args: oneArgument("the folder for the certificates"),
		RunE: func(cmd *cobra.Command, args []string) error {
			made, err := rpc.MakeCertificates(args[0], rpc.CertificatesConfig{Domain: domain, Names: names, Now: time.Now})
			for _, path := range made {
				fmt.Fprintln(cmd.OutOrStdout(), path)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&domain, "domain", rpc.Domain, "the `DOMAIN` that the names stand in")
	cmd.Flags().StringSliceVar(&names, "name", nil, "the first label of a certificate's `NAME`; may be given several times (default: the six roles)")
	return cmd
}
