// Package appliance is the folder of what the CRM does. It holds no code of its own: its packages stand on floors, and
// imports go down (see the table in imports_test.go).
package appliance
