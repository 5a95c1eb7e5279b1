package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/telemetry"
	"github.com/cairn-ca/cairn/sa"
)

func migrateCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Create the store's schema, or bring it up to date",
		Long: `Create the store's schema, or bring it up to date.

cairn serve does this by itself. With PostgreSQL and one process for each role,
run it before the processes of a new version start. A schema that is newer than
this version is refused and left as it is.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			cfg, err := s.load()
			if err != nil {
				return err
			}
			logger, err := telemetry.NewLogger(cmd.ErrOrStderr(), telemetry.LogConfig(cfg.Log))
			if err != nil {
				return err
			}
			var data *dataFolder
			if cfg.Store.URL == "" {
				if data, err = openData(cfg.Data, ""); err != nil {
					return err
				}
				defer data.close()
			}
			url, err := storeURL(cfg.Store, data)
			if err != nil {
				return err
			}
			if err := sa.Migrate(cmd.Context(), sa.Config{URL: url, Logger: logger}); err != nil {
				return storeError(cfg, err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "the store is up to date")
			return err
		},
	}
	s.register(cmd)
	return cmd
}
