module example.org/boot

go 1.24

require github.com/gophercloud/gophercloud/v2 v2.8.0
