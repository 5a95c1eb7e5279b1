package ca

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cairn-ca/cairn/internal/acme"
)

// DevicePolicy says which certificates have the identifiers of devices in
// them. A CSR may leave them out (draft-ietf-acme-device-attest §3.2): many
// clients can't write them, some would rather not have them read.
type DevicePolicy string

const (
	// DevicesAlways puts them into every certificate, whether the CSR has them
	// or not.
	DevicesAlways DevicePolicy = ""
	// DevicesRequested puts them into the certificates whose CSR has them. One
	// whose CSR has none needs another name.
	DevicesRequested DevicePolicy = "requested"
)

// deviceProfile is for the keys of attested devices, made of the profile for
// clients.
func deviceProfile(client Profile) Profile {
	device := client
	device.Name = "device"
	device.Description = "TLS client certificates for attested devices, valid for 90 days"
	device.IdentifierTypes = []acme.IdentifierType{acme.IdentifierPermanentIdentifier, acme.IdentifierHardwareModule}
	// Without a subject the alternative names are critical, and crypto/x509 for
	// one takes none that are critical and of no form that it knows.
	device.CommonName = CommonNameFirst
	return device
}

// DevicesOnly tells whether the profile certifies nothing but devices.
func (p *Profile) DevicesOnly() bool {
	return !slices.ContainsFunc(p.IdentifierTypes, func(t acme.IdentifierType) bool { return !deviceType(t) })
}

func deviceType(t acme.IdentifierType) bool {
	return t == acme.IdentifierPermanentIdentifier || t == acme.IdentifierHardwareModule
}

func (p *Profile) validateDevices() error {
	switch p.Devices {
	case DevicesAlways, DevicesRequested:
	default:
		return fmt.Errorf("device identifiers %q are neither \"\" nor %q", p.Devices, DevicesRequested)
	}
	if slices.ContainsFunc(p.IdentifierTypes, deviceType) && slices.Contains(p.ExtendedKeyUsages, x509.ExtKeyUsageServerAuth) {
		// Baseline Requirements §7.1.2.7.12.
		return errors.New("certificates of TLS servers have DNS names and IP addresses only; for devices, use clientAuth without serverAuth")
	}
	return nil
}

// certified are the identifiers of an order that go into its certificate.
func (p *Profile) certified(csr request, ids []acme.Identifier) ([]acme.Identifier, error) {
	if p.Devices != DevicesRequested || csr.hasDevices {
		return ids, nil
	}
	ids = slices.DeleteFunc(slices.Clone(ids), acme.Identifier.IsDevice)
	if len(ids) == 0 {
		return nil, badCSR("a certificate that leaves out the identifiers of the device, as the CSR does, would have no subject alternative name; put them into the CSR's subject alternative names")
	}
	return ids, nil
}

// devicesOf are those of the identifiers that name devices.
func devicesOf(ids []acme.Identifier) []acme.Identifier {
	return slices.DeleteFunc(slices.Clone(ids), func(id acme.Identifier) bool { return !id.IsDevice() })
}

// csrOtherNames are the identifiers of devices in a CSR. It refuses subject
// alternative names of the kinds that crypto/x509 gives no account of, or that
// no order has (RFC 8555 §7.4: the CSR asks for exactly the order's
// identifiers).
func csrOtherNames(extensions []pkix.Extension) ([]acme.Identifier, error) {
	var devices []acme.Identifier
	seen := false
	for _, e := range extensions {
		if !e.Id.Equal(oidSubjectAltName) {
			continue
		}
		if seen {
			return nil, badCSR("the CSR has subject alternative names twice; put them all into one extension")
		}
		seen = true
		input := cryptobyte.String(e.Value)
		var list cryptobyte.String
		if !input.ReadASN1(&list, cryptobyte_asn1.SEQUENCE) || !input.Empty() {
			return nil, badCSR("the CSR's subject alternative names can't be read")
		}
		for !list.Empty() {
			var name cryptobyte.String
			var tag cryptobyte_asn1.Tag
			if !list.ReadAnyASN1(&name, &tag) {
				return nil, badCSR("the CSR's subject alternative names can't be read")
			}
			switch tag {
			case cryptobyte_asn1.Tag(2).ContextSpecific(), cryptobyte_asn1.Tag(7).ContextSpecific():
			case acme.OtherNameTag:
				id, err := acme.ParseOtherName(name)
				if err != nil {
					return nil, badCSR("the CSR asks for a subject alternative name that no certificate can have here: %s; leave it out", detail(err))
				}
				devices = append(devices, id)
			default:
				return nil, badCSR("the CSR asks for a subject alternative name of a kind that no certificate can have here, such as an e-mail address or a URI; leave it out")
			}
		}
	}
	return devices, nil
}

// commonNameOf is an identifier as a common name: of a device, its identity
// alone.
func commonNameOf(id acme.Identifier) string {
	if identity, _ := id.Device(); identity != "" {
		return identity
	}
	return id.Value()
}
