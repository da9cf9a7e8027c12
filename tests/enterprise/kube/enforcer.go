package main

import (
	"context"
	"fmt"
	"time"

	"github.com/florianl/go-nfqueue/v2"
	"github.com/spf13/cobra"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/kube-network-policies/pkg/api"
	"sigs.k8s.io/kube-network-policies/pkg/network"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
	"sigs.k8s.io/kube-network-policies/pkg/podinfo"
)

// Its own program queues packets by an expression of nftables that not every kernel has. Here
// iptables queues the first packet of each connection, and the same engine judges it.
func newEnforcerCommand() *cobra.Command {
	var kubeconfig, node string
	var queue uint16
	command := &cobra.Command{
		Use:  "enforcer",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			engine, err := newEngine(command.Context(), kubeconfig, node)
			if err != nil {
				return err
			}
			return judge(command.Context(), engine, queue)
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "how the cluster is reached")
	command.Flags().StringVar(&node, "node", "", "the node whose pods' policies are enforced")
	command.Flags().Uint16Var(&queue, "queue", 0, "the queue that iptables fills")
	return command
}

func newEngine(ctx context.Context, kubeconfig, node string) (*networkpolicy.PolicyEngine, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	factory := informers.NewSharedInformerFactory(clients, 0)
	namespaces, pods := factory.Core().V1().Namespaces(), factory.Core().V1().Pods()
	resolver, err := podinfo.NewInformerResolver(pods.Informer())
	if err != nil {
		return nil, err
	}
	known := podinfo.NewInformerProvider(pods, namespaces, nil, []podinfo.IPResolver{resolver})
	policies := factory.Networking().V1().NetworkPolicies()
	standard := networkpolicy.NewStandardNetworkPolicy(node, namespaces, pods, policies)
	engine := networkpolicy.NewPolicyEngine(known, []api.PolicyEvaluator{standard})
	factory.Start(ctx.Done())
	for !engine.Ready() {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return engine, nil
}

// What cannot be read is dropped, and so is everything while nobody judges.
func judge(ctx context.Context, engine *networkpolicy.PolicyEngine, number uint16) error {
	queue, err := nfqueue.Open(&nfqueue.Config{
		NfQueue:      number,
		MaxPacketLen: 128, // headers
		MaxQueueLen:  1024,
		Copymode:     nfqueue.NfQnlCopyPacket,
		WriteTimeout: time.Second,
	})
	if err != nil {
		return fmt.Errorf("queue %d: %w", number, err)
	}
	defer queue.Close()
	decide := func(attribute nfqueue.Attribute) int {
		verdict := nfqueue.NfDrop
		packet, err := network.ParsePacket(*attribute.Payload)
		if err == nil {
			var isAllowed bool
			if isAllowed, err = engine.EvaluatePacket(ctx, &packet); isAllowed {
				verdict = nfqueue.NfAccept
			}
		}
		if err != nil || verdict == nfqueue.NfDrop {
			klog.InfoS("dropped", "packet", packet.MarshalLog(), "error", err)
		}
		if err := queue.SetVerdict(*attribute.PacketID, verdict); err != nil {
			klog.ErrorS(err, "no verdict")
		}
		return 0
	}
	again := func(err error) int {
		klog.ErrorS(err, "no packet")
		return 0
	}
	if err := queue.RegisterWithErrorFunc(ctx, decide, again); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
