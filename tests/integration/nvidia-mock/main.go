// Copyright: intranet.mcp contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

// Prints the CDI spec that nvidia-ctk's own library makes of NVIDIA's mock of a DGX A100, for a
// driver root given as argument. Real device files and libraries are looked up below that root.
package main

import (
	"fmt"
	"os"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxa100"
	"github.com/NVIDIA/nvidia-container-toolkit/pkg/nvcdi"
	"github.com/NVIDIA/nvidia-container-toolkit/pkg/nvcdi/transform"
)

func main() {
	if err := generate(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func generate(root string) error {
	server := dgxa100.New()
	for _, device := range server.Devices {
		// The mock answers no question about MIG, which the library asks of every GPU.
		device.(*dgxa100.Device).GetMaxMigDeviceCountFunc = func() (int, nvml.Return) {
			return 0, nvml.SUCCESS
		}
	}
	library, err := nvcdi.New(
		nvcdi.WithNvmlLib(server),
		nvcdi.WithDriverRoot(root),
		nvcdi.WithDevRoot(root),
		nvcdi.WithMode("nvml"),
		// As nvidia-ctk asks for it: one device that stands for all.
		nvcdi.WithMergedDeviceOptions(
			transform.WithName("all"),
			transform.WithSkipIfExists(true),
		),
		nvcdi.WithNVIDIACDIHookPath("/usr/bin/nvidia-cdi-hook"),
	)
	if err != nil {
		return err
	}
	spec, err := library.GetSpec("all")
	if err != nil {
		return err
	}
	_, err = spec.WriteTo(os.Stdout)
	return err
}
