package main

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	clientinformers "k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

var configMaps = corev1.SchemeGroupVersion.WithResource("configmaps")

// informers follows a namespace's ConfigMaps in the three ways there are (typed, dynamic, metadata only) and tells every
// event, until it is ended: informers NAMESPACE.
func informers(ctx context.Context, config *rest.Config, words []string) error {
	namespace := words[0]
	followed, err := followers(config, namespace)
	if err != nil {
		return err
	}
	for name, informer := range followed {
		if _, err := informer.AddEventHandler(teller(name)); err != nil {
			return err
		}
		err := informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
			say(line{"informer": name, "broken": err.Error()})
		})
		if err != nil {
			return err
		}
		go informer.Run(ctx.Done())
	}
	for name, informer := range followed {
		if cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
			say(line{"informer": name, "synced": len(informer.GetStore().ListKeys())})
		}
	}
	<-ctx.Done()
	return nil
}

func followers(config *rest.Config, namespace string) (map[string]cache.SharedIndexInformer, error) {
	const never time.Duration = 0 // no resync: each event stands for one of the server's
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	untyped, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	partial, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	inNamespace := clientinformers.WithNamespace(namespace)
	return map[string]cache.SharedIndexInformer{
		"typed": clientinformers.NewSharedInformerFactoryWithOptions(typed, never, inNamespace).
			Core().V1().ConfigMaps().Informer(),
		"dynamic": dynamicinformer.NewFilteredDynamicSharedInformerFactory(untyped, never, namespace, nil).
			ForResource(configMaps).Informer(),
		"metadata": metadatainformer.NewFilteredSharedInformerFactory(partial, never, namespace, nil).
			ForResource(configMaps).Informer(),
	}, nil
}

func teller(informer string) cache.ResourceEventHandler {
	tell := func(event string, of any) {
		object, ok := of.(metav1.Object)
		if !ok {
			say(line{"informer": informer, "event": event, "lost track": true})
			return
		}
		told := line{"informer": informer, "event": event, "name": object.GetName(), "version": object.GetResourceVersion()}
		switch content := of.(type) {
		case *corev1.ConfigMap:
			told["count"] = content.Data["count"]
		case *unstructured.Unstructured:
			told["count"], _, _ = unstructured.NestedString(content.Object, "data", "count")
		}
		say(told)
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { tell("add", object) },
		UpdateFunc: func(_, object any) { tell("update", object) },
		DeleteFunc: func(object any) { tell("delete", object) },
	}
}
