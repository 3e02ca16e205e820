// Boots a server by gophercloud; the cloud is whatever the variables OS_... say.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := boot(ctx); err != nil {
		log.Fatal(err)
	}
}

func boot(ctx context.Context) error {
	options, err := openstack.AuthOptionsFromEnv()
	if err != nil {
		return err
	}
	provider, err := openstack.AuthenticatedClient(ctx, options)
	if err != nil {
		return err
	}
	region := gophercloud.EndpointOpts{Region: "RegionOne"}
	compute, err := openstack.NewComputeV2(provider, region)
	if err != nil {
		return err
	}
	glance, err := openstack.NewImageV2(provider, region)
	if err != nil {
		return err
	}
	pages, err := images.List(glance, images.ListOpts{Visibility: images.ImageVisibilityPublic}).AllPages(ctx)
	if err != nil {
		return err
	}
	allImages, err := images.ExtractImages(pages)
	if err != nil {
		return err
	}
	pages, err = flavors.ListDetail(compute, nil).AllPages(ctx)
	if err != nil {
		return err
	}
	allFlavors, err := flavors.ExtractFlavors(pages)
	if err != nil {
		return err
	}
	wanted := servers.CreateOpts{Name: "example", ImageRef: allImages[0].ID, FlavorRef: allFlavors[0].ID}
	server, err := servers.Create(ctx, compute, wanted, nil).Extract()
	if err != nil {
		return err
	}
	if err := servers.WaitForStatus(ctx, compute, server.ID, "ACTIVE"); err != nil {
		return err
	}
	fmt.Println(server.ID, "ACTIVE")
	return servers.Delete(ctx, compute, server.ID).ExtractErr()
}
