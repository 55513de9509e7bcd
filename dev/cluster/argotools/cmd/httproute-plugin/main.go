// Command httproute-plugin is a traffic router of Argo Rollouts that writes weights into an HTTPRoute.
//
// bench/engine runs it in the place of argoproj-labs' Gateway API plugin, whose module the Go proxy here does not serve.
// It stands in for that plugin's work at the API server and takes the same configuration, so that the two can be
// exchanged: SetWeight reads the route, sets the weights of the stable and the canary Service, marks a canary under way
// with a label, and updates the route only if that changed it, again after a conflict. RemoveManagedRoutes reads the
// route and finds nothing of its own to remove.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"time"

	"github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/argoproj/argo-rollouts/rollout/trafficrouting/plugin/rpc"
	"github.com/argoproj/argo-rollouts/utils/plugin/types"
	goplugin "github.com/hashicorp/go-plugin"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/retry"
)

const (
	name  = "argoproj-labs/gatewayAPI" // the key under `trafficRouting.plugins`
	label = "rollouts.argoproj.io/gatewayapi-canary"
	whole = 100 // percent
)

var routes = schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"}

// router is the plugin; a rollout's configuration names its route.
type router struct {
	qps    float64
	burst  int
	client dynamic.Interface
}

type configuration struct {
	HTTPRoute string `json:"httpRoute"`
	Namespace string `json:"namespace"`
}

func main() {
	plugin := &router{}
	flag.Float64Var(&plugin.qps, "kubeClientQPS", 40, "requests a second to the API server")
	flag.IntVar(&plugin.burst, "kubeClientBurst", 80, "requests at once")
	flag.Parse()
	go endWithParent()
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion:  1,
			MagicCookieKey:   "ARGO_ROLLOUTS_RPC_PLUGIN",
			MagicCookieValue: "trafficrouter",
		},
		Plugins: map[string]goplugin.Plugin{"RpcTrafficRouterPlugin": &rpc.RpcTrafficRouterPlugin{Impl: plugin}},
	})
}

// endWithParent ends this process after the controller's own end, which may come too suddenly to tell.
func endWithParent() {
	for parent := os.Getppid(); os.Getppid() == parent; {
		time.Sleep(time.Second)
	}
	os.Exit(0)
}

// InitPlugin connects with the kubeconfig of the controller, whose environment this process has.
func (r *router) InitPlugin() types.RpcError {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return failed(err)
	}
	config.QPS, config.Burst = float32(r.qps), r.burst
	r.client, err = dynamic.NewForConfig(config)
	return failed(err)
}

// SetWeight gives the canary its percentage of the requests and stable the rest.
func (r *router) SetWeight(ro *v1alpha1.Rollout, weight int32, _ []v1alpha1.WeightDestination) types.RpcError {
	canary := ro.Spec.Strategy.Canary
	weights := map[string]int64{canary.CanaryService: int64(weight), canary.StableService: whole - int64(weight)}
	ctx := context.Background()
	return failed(retry.RetryOnConflict(retry.DefaultRetry, func() error {
		route, err := r.route(ctx, ro)
		if err != nil {
			return err
		}
		before := route.DeepCopy()
		if err := setWeights(route, weights); err != nil {
			return err
		}
		setLabel(route, weight > 0)
		if reflect.DeepEqual(before, route) {
			return nil
		}
		_, err = r.client.Resource(routes).Namespace(route.GetNamespace()).Update(ctx, route, metav1.UpdateOptions{})
		return err
	}))
}

// RemoveManagedRoutes looks for rules of header routes, which no rollout of the benchmark has.
func (r *router) RemoveManagedRoutes(ro *v1alpha1.Rollout) types.RpcError {
	_, err := r.route(context.Background(), ro)
	return failed(err)
}

// VerifyWeight has nothing to verify: the API server has taken the weights.
func (r *router) VerifyWeight(*v1alpha1.Rollout, int32, []v1alpha1.WeightDestination) (types.RpcVerified, types.RpcError) {
	return types.Verified, types.RpcError{}
}

// UpdateHash has nothing to do: the controller itself points the Services at the pods.
func (r *router) UpdateHash(*v1alpha1.Rollout, string, string, []v1alpha1.WeightDestination) types.RpcError {
	return types.RpcError{}
}

// SetHeaderRoute refuses: no rollout of the benchmark asks for it.
func (r *router) SetHeaderRoute(*v1alpha1.Rollout, *v1alpha1.SetHeaderRoute) types.RpcError {
	return types.RpcError{ErrorString: "this plugin sets weights only"}
}

// SetMirrorRoute refuses: no rollout of the benchmark asks for it.
func (r *router) SetMirrorRoute(*v1alpha1.Rollout, *v1alpha1.SetMirrorRoute) types.RpcError {
	return types.RpcError{ErrorString: "this plugin sets weights only"}
}

// Type names the plugin in the controller's log.
func (r *router) Type() string { return "GatewayAPI" }

func (r *router) route(ctx context.Context, ro *v1alpha1.Rollout) (*unstructured.Unstructured, error) {
	var told configuration
	if err := json.Unmarshal(ro.Spec.Strategy.Canary.TrafficRouting.Plugins[name], &told); err != nil {
		return nil, fmt.Errorf("trafficRouting.plugins[%q]: %w", name, err)
	}
	return r.client.Resource(routes).Namespace(told.Namespace).Get(ctx, told.HTTPRoute, metav1.GetOptions{})
}

// setWeights sets the weight of every backend that is named; it fails where one of the names is nowhere.
func setWeights(route *unstructured.Unstructured, weights map[string]int64) error {
	found := map[string]bool{}
	rules, _, err := unstructured.NestedSlice(route.Object, "spec", "rules")
	if err != nil {
		return err
	}
	for _, rule := range rules {
		backends, _ := rule.(map[string]any)["backendRefs"].([]any)
		for _, backend := range backends {
			ref := backend.(map[string]any)
			service, _ := ref["name"].(string)
			if weight, named := weights[service]; named {
				ref["weight"], found[service] = weight, true
			}
		}
	}
	if len(found) != len(weights) {
		return fmt.Errorf("HTTPRoute %s: of the Services %v it has only %v", route.GetName(), weights, found)
	}
	return unstructured.SetNestedSlice(route.Object, rules, "spec", "rules")
}

func setLabel(route *unstructured.Unstructured, underWay bool) {
	labels := route.GetLabels()
	if underWay {
		if labels == nil {
			labels = map[string]string{}
		}
		labels[label] = "in-progress"
	} else {
		delete(labels, label)
	}
	if len(labels) > 0 || route.GetLabels() != nil {
		route.SetLabels(labels)
	}
}

func failed(err error) types.RpcError {
	if err == nil {
		return types.RpcError{}
	}
	return types.RpcError{ErrorString: err.Error()}
}
