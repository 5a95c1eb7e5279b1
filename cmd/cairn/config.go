package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/config"
)

// settings is the flags of commands that read a configuration.
type settings struct {
	file string
	data string
}

func (s *settings) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.file, "config", "", "the configuration `FILE` (default: none; see docs/configuration.md)")
	cmd.Flags().StringVar(&s.data, "data", "", "the data folder `DIR`; overrides the key data of the file")
}

// load reads the configuration that the flags name.
func (s *settings) load() (*config.Config, error) {
	cfg, err := config.Load(s.file)
	if err != nil {
		return nil, err
	}
	if s.data != "" {
		cfg.Data = s.data
	}
	if err := checkIssuerKeys(cfg, s.file); err != nil {
		return nil, err
	}
	return cfg, checkProfiles(cfg, s.file)
}

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check or show a configuration",
		Args:  noArguments,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(configCheckCommand(), configShowCommand())
	return cmd
}

func configCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Validate a configuration file without starting anything",
		Args:  oneArgument("the file to check"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s := settings{file: args[0]}
			if _, err := s.load(); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: no errors\n", args[0])
			return err
		},
	}
}

func configShowCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show every key of a configuration with the value that counts",
		Long:  "Show every key of a configuration with the value that counts, as a configuration file. Passwords are left out.",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := s.load()
			if err != nil {
				return err
			}
			shown, err := cfg.Show()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(shown)
			return err
		},
	}
	s.register(cmd)
	return cmd
}
